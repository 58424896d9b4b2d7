// What the Java tests need that neither Java nor Moxie has.
#include <jni.h>
#include <malloc.h>
#include <pthread.h>
#include <stdint.h>

typedef void (*log_callback)(void* payload, int level, const char* text);

typedef struct line {
  log_callback callback;
  void* payload;
} line;

static void* say(void* argument) {
  const line* what = argument;
  what->callback(what->payload, 1, "from afar \xF0\x9F\x98\x80");
  return NULL;
}

JNIEXPORT void JNICALL Java_io_moxie_test_NativeTesting_logFromForeignThread(JNIEnv* env, jclass self, jlong callback,
                                                                             jlong payload) {
  (void)env, (void)self;
  line what = {(log_callback)(intptr_t)callback, (void*)(intptr_t)payload};
  pthread_t thread;
  if (pthread_create(&thread, NULL, say, &what) == 0) pthread_join(thread, NULL);
}

JNIEXPORT jlong JNICALL Java_io_moxie_test_NativeTesting_mallocBytes(JNIEnv* env, jclass self) {
  (void)env, (void)self;
  const struct mallinfo2 now = mallinfo2();
  return (jlong)(now.uordblks + now.hblkhd);
}
