// Java: pointers are long, also those to text and to structs; integers keep their width; enums are int. Structs become
// views over an address, with an accessor for each field, so that no offset is written down by hand. Nothing here owns
// memory, and no text passes through JNI's modified UTF-8: text is bytes behind a pointer.

%include "enumtypeunsafe.swg"
%javaconst(1);

// Memory is given and taken back by the classes above.
%nodefaultctor;
%nodefaultdtor;

%define MOXIE_POINTER(PATTERN...)
%typemap(jni) PATTERN "jlong"
%typemap(jtype) PATTERN "long"
%typemap(jstype) PATTERN "long"
%typemap(javain) PATTERN "$javainput"
%typemap(javaout) PATTERN {
    return $jnicall;
  }
%enddef

MOXIE_POINTER(SWIGTYPE *)
MOXIE_POINTER(SWIGTYPE)
MOXIE_POINTER(SWIGTYPE &)
MOXIE_POINTER(char *)
MOXIE_POINTER(char [ANY])
MOXIE_POINTER(SWIGTYPE [ANY])
MOXIE_POINTER(int64_t [ANY])
MOXIE_POINTER(mox_log_callback)

%typemap(in) SWIGTYPE *, char *, mox_log_callback %{ $1 = ($1_ltype)(intptr_t)$input; %}
%typemap(out) SWIGTYPE *, char *, mox_log_callback %{ $result = (jlong)(intptr_t)$1; %}
%typemap(freearg) char * ""
// The caller's text stays the caller's: its address is stored, not a copy.
%typemap(memberin) char *, const char * %{ $1 = $input; %}

// Arrays inside info structs are read where they stand.
%typemap(out) char [ANY], SWIGTYPE [ANY], int64_t [ANY] %{ $result = (jlong)(intptr_t)$1; %}
%immutable mox_error::message;
%immutable mox_runtime_info::cpu;
%immutable mox_runtime_info::backends;
%immutable mox_runtime_info::kernel_f32;
%immutable mox_runtime_info::kernel_bf16;
%immutable mox_runtime_info::cpus;
%immutable mox_model_info::family;
%immutable mox_adapter_info::name;
%immutable mox_file_info::family;
%immutable mox_file_info::format;
%immutable mox_tensor_info::shape;

// The bits of an unsigned 64-bit number; BigInteger would be another object for each of them.
%apply long long { uint64_t, unsigned long long };

// A struct's view: an address, and no finalizer.
%typemap(javabody) SWIGTYPE %{
  private final long swigCPtr;

  public $javaclassname(long address) {
    swigCPtr = address;
  }
%}
%typemap(javafinalize) SWIGTYPE ""
%typemap(javadestruct, methodname="delete", methodmodifiers="public") SWIGTYPE ""
%typemap(javaclassmodifiers) SWIGTYPE "public final class"

%define MOXIE_STRUCT(NAME)
%extend NAME {
  static size_t sizeOf() { return sizeof(NAME); }
}
%enddef
MOXIE_STRUCT(mox_error)
MOXIE_STRUCT(mox_matrix)
MOXIE_STRUCT(mox_runtime_options)
MOXIE_STRUCT(mox_runtime_info)
MOXIE_STRUCT(mox_routing_info)
MOXIE_STRUCT(mox_routing_choice)
MOXIE_STRUCT(mox_expert_weights)
MOXIE_STRUCT(mox_feed_forward_description)
MOXIE_STRUCT(mox_load_options)
MOXIE_STRUCT(mox_feed_forward_info)
MOXIE_STRUCT(mox_range)
MOXIE_STRUCT(mox_batch)
MOXIE_STRUCT(mox_sequence_options)
MOXIE_STRUCT(mox_sequence_info)
MOXIE_STRUCT(mox_model_info)
MOXIE_STRUCT(mox_step)
MOXIE_STRUCT(mox_block_step)
MOXIE_STRUCT(mox_sampler_options)
MOXIE_STRUCT(mox_router_loss_options)
MOXIE_STRUCT(mox_lora_factors)
MOXIE_STRUCT(mox_adapter_projection)
MOXIE_STRUCT(mox_adapter_description)
MOXIE_STRUCT(mox_adapter_info)
MOXIE_STRUCT(mox_file_info)
MOXIE_STRUCT(mox_tensor_info)

// The library is found and checked before the first native call.
%pragma(java) jniclasscode=%{
  static {
    NativeLibrary.require();
  }
%}
%pragma(java) jniclassclassmodifiers="public final class"

// What the C headers cannot give: memory, arrays, buffers, and the log's way into Java. The Java side of each is the
// hand-written class of that name.
%{
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define MEMORY(name) JNICALL Java_io_moxie_internal_Memory_##name

JNIEXPORT jlong MEMORY(allocate)(JNIEnv* env, jclass self, jlong size) {
  (void)env, (void)self;
  return (jlong)(intptr_t)calloc(1, (size_t)size);
}

JNIEXPORT void MEMORY(free)(JNIEnv* env, jclass self, jlong address) {
  (void)env, (void)self;
  free((void*)(intptr_t)address);
}

JNIEXPORT jlong MEMORY(textLength)(JNIEnv* env, jclass self, jlong address) {
  (void)env, (void)self;
  return (jlong)strlen((const char*)(intptr_t)address);
}

JNIEXPORT jlong MEMORY(bufferAddress)(JNIEnv* env, jclass self, jobject buffer) {
  (void)self;
  return (jlong)(intptr_t)(*env)->GetDirectBufferAddress(env, buffer);
}

// Copies, so that no array is ever pinned: a pinned array stops the collector for as long as a model computes.
#define MOXIE_COPY(Name, type, array)                                                                                 \
  JNIEXPORT void MEMORY(copy##Name##sIn)(JNIEnv * env, jclass self, jlong to, array from, jint offset, jint count) { \
    (void)self;                                                                                                       \
    (*env)->Get##Name##ArrayRegion(env, from, offset, count, (type*)(intptr_t)to);                                    \
  }                                                                                                                   \
  JNIEXPORT void MEMORY(copy##Name##sOut)(JNIEnv * env, jclass self, jlong from, array to, jint offset, jint count) { \
    (void)self;                                                                                                       \
    (*env)->Set##Name##ArrayRegion(env, to, offset, count, (const type*)(intptr_t)from);                              \
  }
MOXIE_COPY(Byte, jbyte, jbyteArray)
MOXIE_COPY(Short, jshort, jshortArray)
MOXIE_COPY(Int, jint, jintArray)
MOXIE_COPY(Long, jlong, jlongArray)
MOXIE_COPY(Float, jfloat, jfloatArray)
MOXIE_COPY(Double, jdouble, jdoubleArray)

static JavaVM* moxie_vm;
static jclass moxie_log_class;
static jmethodID moxie_log_method;

JNIEXPORT jint JNICALL JNI_OnLoad(JavaVM* vm, void* reserved) {
  JNIEnv* env = NULL;
  (void)reserved;
  moxie_vm = vm;
  if ((*vm)->GetEnv(vm, (void**)&env, JNI_VERSION_10) != JNI_OK) return JNI_ERR;
  jclass found = (*env)->FindClass(env, "io/moxie/internal/LogHook");
  if (found == NULL) return JNI_ERR;
  moxie_log_class = (jclass)(*env)->NewGlobalRef(env, found);
  (*env)->DeleteLocalRef(env, found);
  if (moxie_log_class == NULL) return JNI_ERR;
  moxie_log_method = (*env)->GetStaticMethodID(env, moxie_log_class, "dispatch", "(JI[B)V");
  return moxie_log_method != NULL ? JNI_VERSION_10 : JNI_ERR;
}

// The payload is a number that the Java side looks up, so that a line that comes late finds nobody instead of freed
// memory. The thread may be one that Java has never seen.
static void moxie_java_log(void* payload, mox_log_level level, const char* text) {
  JNIEnv* env = NULL;
  int attached = 0;
  if ((*moxie_vm)->GetEnv(moxie_vm, (void**)&env, JNI_VERSION_10) != JNI_OK) {
    JavaVMAttachArgs arguments = {JNI_VERSION_10, (char*)"moxie-log", NULL};
    if ((*moxie_vm)->AttachCurrentThreadAsDaemon(moxie_vm, (void**)&env, &arguments) != JNI_OK) return;
    attached = 1;
  }
  const jsize length = (jsize)strlen(text);
  jbyteArray bytes = (*env)->NewByteArray(env, length);
  if (bytes != NULL) {
    (*env)->SetByteArrayRegion(env, bytes, 0, length, (const jbyte*)text);
    (*env)->CallStaticVoidMethod(env, moxie_log_class, moxie_log_method, (jlong)(intptr_t)payload, (jint)level, bytes);
  }
  // dispatch() lets nothing out; an exception here is the virtual machine's own (no memory), and must not reach C.
  if ((*env)->ExceptionCheck(env)) (*env)->ExceptionClear(env);
  if (bytes != NULL) (*env)->DeleteLocalRef(env, bytes);
  if (attached) (*moxie_vm)->DetachCurrentThread(moxie_vm);
}

JNIEXPORT jlong JNICALL Java_io_moxie_internal_LogHook_callback(JNIEnv* env, jclass self) {
  (void)env, (void)self;
  return (jlong)(intptr_t)moxie_java_log;
}

JNIEXPORT jbyteArray JNICALL Java_io_moxie_internal_NativeLibrary_libraryVersion(JNIEnv* env, jclass self) {
  (void)self;
  const char* version = mox_version();
  jbyteArray bytes = (*env)->NewByteArray(env, (jsize)strlen(version));
  if (bytes != NULL) (*env)->SetByteArrayRegion(env, bytes, 0, (jsize)strlen(version), (const jbyte*)version);
  return bytes;
}

JNIEXPORT jbyteArray JNICALL Java_io_moxie_internal_NativeLibrary_glueVersion(JNIEnv* env, jclass self) {
  (void)self;
  jbyteArray bytes = (*env)->NewByteArray(env, (jsize)strlen(MOXIE_JAVA_VERSION));
  if (bytes != NULL)
    (*env)->SetByteArrayRegion(env, bytes, 0, (jsize)strlen(MOXIE_JAVA_VERSION), (const jbyte*)MOXIE_JAVA_VERSION);
  return bytes;
}
%}
