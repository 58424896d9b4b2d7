/* Adapters come and go while others work: worker threads run mixed batches over one feed-forward,
 * and an administrator keeps replacing the adapters under them. Nobody waits for anybody, and
 * every row of every batch is compared with what it gave alone before the threads began.
 *
 *   live_adapters [MODELS]     default: examples/models
 */
#include <pthread.h>

#include "example.h"

enum { ADAPTERS = 4, WORKERS = 4, POOL = 24, RANGES = 3, MAX_ROWS = 8, REPLACEMENTS = 24, AT_LEAST = 50 };

static const char* const names[ADAPTERS] = {"kjv-mixlora", "melville-loramoe", "presidents-mola", "jargon-lora"};
static const char* models = "examples/models";
static mox_feed_forward* feed_forward = NULL;
static size_t hidden = 0;
static float* pool = NULL;                  /* [POOL, hidden]: rows that batches are made of */
static float* expected[ADAPTERS + 1] = {0}; /* [POOL, hidden] under each adapter; the last: base */

/* What the administrator changes and the workers read. */
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static mox_adapter* loaded[ADAPTERS] = {NULL};
static int finished = 0;
static long served[ADAPTERS + 1] = {0};

static mox_adapter* open_adapter(int index) {
  char* folder = example_path(models, names[index]);
  mox_adapter* adapter = NULL;
  TRY(mox_adapter_open_for_feed_forward(feed_forward, folder, -1, &adapter, &error));
  free(folder);
  return adapter;
}

static void run(const float* input, float* output, int64_t rows, const mox_range* ranges, size_t range_count) {
  mox_batch batch;
  mox_batch_init(&batch, sizeof batch);
  batch.rows = rows;
  batch.input = input, batch.input_dtype = MOX_F32;
  batch.output = output, batch.output_dtype = MOX_F32;
  batch.ranges = ranges, batch.range_count = range_count;
  TRY(mox_feed_forward_run(feed_forward, &batch, NULL, NULL, &error));
}

/* Takes an adapter out of service, then puts a fresh copy in. Batches that hold the old one finish
 * with it; the last to release it frees it. */
static void* administrate(void* unused) {
  (void)unused;
  for (int i = 0; i < REPLACEMENTS; ++i) {
    const int index = i % ADAPTERS;
    pthread_mutex_lock(&mutex);
    mox_adapter* old = loaded[index];
    loaded[index] = NULL;
    pthread_mutex_unlock(&mutex);
    mox_adapter_release(old);
    mox_adapter* fresh = open_adapter(index);
    pthread_mutex_lock(&mutex);
    loaded[index] = fresh;
    pthread_mutex_unlock(&mutex);
  }
  pthread_mutex_lock(&mutex);
  finished = 1;
  pthread_mutex_unlock(&mutex);
  return NULL;
}

static void* work(void* number) {
  uint32_t seed = (uint32_t)(1 + *(const int*)number);
  float* input = example_memory(RANGES * MAX_ROWS * hidden, sizeof *input);
  float* output = example_memory(RANGES * MAX_ROWS * hidden, sizeof *output);
  int done = 0;
  for (int batch = 0; batch < AT_LEAST || !done; ++batch) {
    mox_range ranges[RANGES];
    mox_adapter* held[RANGES];
    int tenant[RANGES], row_of[RANGES * MAX_ROWS];
    int64_t rows = 0;
    for (int range = 0; range < RANGES; ++range) {
      /* Hold the adapter while we use it. One that is out of service just now: the base instead. */
      tenant[range] = (int)((example_random(&seed, 0.5f) + 0.5f) * (ADAPTERS + 1)) % (ADAPTERS + 1);
      pthread_mutex_lock(&mutex);
      done = finished;
      held[range] = tenant[range] < ADAPTERS ? loaded[tenant[range]] : NULL;
      if (held[range] != NULL) mox_adapter_retain(held[range]);
      if (held[range] == NULL) tenant[range] = ADAPTERS;
      ++served[tenant[range]];
      pthread_mutex_unlock(&mutex);

      ranges[range] = (mox_range){held[range], rows, rows};
      for (int count = 1 + batch % MAX_ROWS; count > 0; --count, ++rows, ++ranges[range].end) {
        row_of[rows] = (int)((example_random(&seed, 0.5f) + 0.5f) * POOL) % POOL;
        memcpy(input + (size_t)rows * hidden, pool + (size_t)row_of[rows] * hidden, hidden * sizeof *input);
      }
    }
    run(input, output, rows, ranges, RANGES);
    for (int range = 0; range < RANGES; ++range) {
      for (int64_t row = ranges[range].begin; row < ranges[range].end; ++row) {
        const float* alone = expected[tenant[range]] + (size_t)row_of[row] * hidden;
        EXPECT(memcmp(output + (size_t)row * hidden, alone, hidden * sizeof *alone) == 0);
      }
      mox_adapter_release(held[range]);
    }
  }
  free(input), free(output);
  return NULL;
}

int main(int argc, char** argv) {
  if (argc > 1) models = argv[1];
  mox_runtime* runtime = NULL;
  char* folder = example_path(models, "tiny-llama");
  TRY(mox_runtime_create(NULL, &runtime, &error));
  TRY(mox_feed_forward_open(runtime, folder, 0, NULL, &feed_forward, &error));
  free(folder);
  mox_runtime_free(runtime); /* the feed-forward keeps what it needs of it */
  mox_feed_forward_info info = {.struct_size = sizeof info};
  TRY(mox_feed_forward_describe(feed_forward, &info, &error));
  hidden = (size_t)info.hidden;

  uint32_t seed = 99;
  pool = example_memory(POOL * hidden, sizeof *pool);
  for (size_t i = 0; i < POOL * hidden; ++i) pool[i] = example_random(&seed, 1.5f);
  for (int i = 0; i <= ADAPTERS; ++i) {
    if (i < ADAPTERS) loaded[i] = open_adapter(i);
    expected[i] = example_memory(POOL * hidden, sizeof *expected[i]);
    for (int row = 0; row < POOL; ++row) { /* one row a call: alone indeed */
      const mox_range whole = {i < ADAPTERS ? loaded[i] : NULL, 0, 1};
      run(pool + (size_t)row * hidden, expected[i] + (size_t)row * hidden, 1, &whole, 1);
    }
  }

  pthread_t administrator, workers[WORKERS];
  int numbers[WORKERS];
  EXPECT(pthread_create(&administrator, NULL, administrate, NULL) == 0);
  for (int i = 0; i < WORKERS; ++i) {
    numbers[i] = i;
    EXPECT(pthread_create(&workers[i], NULL, work, &numbers[i]) == 0);
  }
  EXPECT(pthread_join(administrator, NULL) == 0);
  for (int i = 0; i < WORKERS; ++i) EXPECT(pthread_join(workers[i], NULL) == 0);

  for (int i = 0; i <= ADAPTERS; ++i) {
    printf("%-17s %6ld ranges\n", i < ADAPTERS ? names[i] : "base", served[i]);
    EXPECT(served[i] > 0);
    if (i < ADAPTERS) mox_adapter_release(loaded[i]);
    free(expected[i]);
  }
  printf("%d adapters replaced meanwhile; every row had the bits it has alone\n", REPLACEMENTS);
  mox_feed_forward_free(feed_forward);
  free(pool);
  return 0;
}
