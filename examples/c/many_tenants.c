/* Six tenants of one model: each has its own sequence and adapter, they arrive at different times,
 * and every round moves all of them on in one call, prefill and decode mixed.
 * Each tenant's tokens and logits are compared with those it gets when it is alone, and greedy
 * ones with what the reference implementation wrote. Then a sequence is forked and cut back.
 *
 *   many_tenants [MODELS]     default: examples/models
 */
#include "example.h"
#include "prompts.h"

enum { TENANTS = 6, NEW_TOKENS = 12, ADAPTERS = 5 };

static const char* const adapter_names[ADAPTERS] = {"(base)", "kjv-mixlora", "melville-loramoe", "presidents-mola",
                                                    "jargon-lora"};

#define LENGTH(ids) (sizeof ids / sizeof ids[0])

typedef struct visit {
  int adapter;
  const int32_t* prompt;
  int64_t prompt_length;
  int arrives; /* in this round */
  float temperature;
  int32_t reference[NEW_TOKENS]; /* of examples/models/reference.json; greedy visits only */
} visit;

static const visit visits[TENANTS] = {
    {0, prompt_sotu, LENGTH(prompt_sotu), 0, 0, {316, 447, 364, 302, 261, 1960, 429, 331, 273, 263, 1184, 607}},
    {1, prompt_kjv, LENGTH(prompt_kjv), 0, 0, {263, 500, 533, 706, 416, 291, 851, 1965, 313, 316, 533, 364}},
    {2, prompt_moby, LENGTH(prompt_moby), 1, 0, {263, 843, 377, 261, 1086, 291, 263, 571, 1965, 280, 263, 571}},
    {3, prompt_sotu, LENGTH(prompt_sotu), 2, 0, {316, 1594, 412, 291, 851, 263, 274, 514, 967, 313, 447, 302}},
    {4, prompt_jargon, LENGTH(prompt_jargon), 2, 0, {329, 261, 375, 1966, 732, 417, 1984, 383, 375, 1966, 732, 417}},
    {1, prompt_moby, LENGTH(prompt_moby), 4, 0.8f, {0}}};

typedef struct tenant {
  const visit* wants;
  mox_sequence* sequence;
  mox_sampler* sampler;
  int32_t tokens[NEW_TOKENS];
  int count;     /* tokens so far */
  float* logits; /* [NEW_TOKENS, vocabulary] that they were chosen from */
} tenant;

static tenant enter(const mox_model* model, int64_t vocabulary, const visit* wants) {
  tenant t = {.wants = wants, .logits = example_memory((size_t)(NEW_TOKENS * vocabulary), sizeof(float))};
  TRY(mox_sequence_create(model, NULL, &t.sequence, &error));
  mox_sampler_options options;
  mox_sampler_options_init(&options, sizeof options);
  options.temperature = wants->temperature, options.top_k = 40, options.seed = 42;
  TRY(mox_sampler_create(&options, &t.sampler, &error));
  return t;
}

static void leave(tenant* t) {
  mox_sequence_free(t->sequence);
  mox_sampler_free(t->sampler);
  free(t->logits);
}

/* Moves some tenants on by one token each: the whole prompt at first, then the token chosen last. */
static void advance(const mox_model* model, int64_t vocabulary, mox_adapter* const* adapters, tenant* const* who,
                    int count) {
  mox_step steps[TENANTS] = {0};
  for (int i = 0; i < count; ++i) {
    tenant* t = who[i];
    steps[i] = (mox_step){.sequence = t->sequence,
                          .adapter = adapters[t->wants->adapter],
                          .tokens = t->count == 0 ? t->wants->prompt : &t->tokens[t->count - 1],
                          .token_count = t->count == 0 ? t->wants->prompt_length : 1,
                          .logits = t->logits + t->count * vocabulary,
                          .logits_rows = 1};
  }
  TRY(mox_model_step(model, steps, (size_t)count, NULL, &error));
  for (int i = 0; i < count; ++i) {
    tenant* t = who[i];
    TRY(mox_sampler_next(t->sampler, steps[i].logits, vocabulary, &t->tokens[t->count], &error));
    ++t->count;
  }
}

int main(int argc, char** argv) {
  const char* models = argc > 1 ? argv[1] : "examples/models";
  char* folder = example_path(models, "tiny-llama");
  mox_runtime* runtime = NULL;
  mox_model* model = NULL;
  TRY(mox_runtime_create(NULL, &runtime, &error));
  mox_load_options load; /* float32, as reference.json was measured */
  mox_load_options_init(&load, sizeof load);
  load.weights = MOX_WEIGHTS_F32;
  TRY(mox_model_open(runtime, folder, &load, &model, &error));
  mox_model_info info = {.struct_size = sizeof info};
  TRY(mox_model_describe(model, &info, &error));
  const int64_t vocabulary = info.vocabulary;
  const size_t row_bytes = (size_t)vocabulary * sizeof(float);

  mox_adapter* adapters[ADAPTERS] = {NULL}; /* the first is the plain base */
  for (int i = 1; i < ADAPTERS; ++i) {
    char* adapter_folder = example_path(models, adapter_names[i]);
    TRY(mox_adapter_open(model, adapter_folder, &adapters[i], &error));
    free(adapter_folder);
  }

  /* All together. */
  tenant together[TENANTS];
  for (int i = 0; i < TENANTS; ++i) together[i] = enter(model, vocabulary, &visits[i]);
  for (int round = 0, present = 1; present > 0; ++round) {
    tenant* who[TENANTS];
    int64_t rows = 0;
    present = 0;
    for (int i = 0; i < TENANTS; ++i) {
      tenant* t = &together[i];
      if (round < t->wants->arrives || t->count == NEW_TOKENS) continue;
      rows += t->count == 0 ? t->wants->prompt_length : 1;
      who[present++] = t;
    }
    if (present > 0) advance(model, vocabulary, adapters, who, present);
    if (present > 0) printf("round %2d: tenants %d, rows %2lld\n", round, present, (long long)rows);
  }

  /* Each alone: the same tokens from the same bits. */
  for (int i = 0; i < TENANTS; ++i) {
    tenant alone = enter(model, vocabulary, &visits[i]);
    tenant* who = &alone;
    while (alone.count < NEW_TOKENS) advance(model, vocabulary, adapters, &who, 1);
    EXPECT(memcmp(alone.tokens, together[i].tokens, sizeof alone.tokens) == 0);
    EXPECT(memcmp(alone.logits, together[i].logits, NEW_TOKENS * row_bytes) == 0);
    const int greedy = visits[i].temperature == 0;
    EXPECT(!greedy || memcmp(alone.tokens, visits[i].reference, sizeof alone.tokens) == 0);
    printf("%-17s", adapter_names[visits[i].adapter]);
    for (int token = 0; token < NEW_TOKENS; ++token) printf(" %4d", alone.tokens[token]);
    printf("%s\n", greedy ? "" : "  (sampled)");
    leave(&alone);
  }

  /* A fork shares what was said so far. Cut back to before the prompt's last token and given that
   * token again, it stands where the first new token was chosen; the original does not move. */
  tenant* original = &together[1];
  mox_sequence* fork = NULL;
  const int64_t length = mox_sequence_length(original->sequence);
  EXPECT(length == visits[1].prompt_length + NEW_TOKENS - 1);
  TRY(mox_sequence_fork(original->sequence, &fork, &error));
  TRY(mox_sequence_truncate(fork, visits[1].prompt_length - 1, &error));
  float* again = example_memory((size_t)vocabulary, sizeof *again);
  const mox_step step = {.sequence = fork,
                         .adapter = adapters[visits[1].adapter],
                         .tokens = visits[1].prompt + visits[1].prompt_length - 1,
                         .token_count = 1,
                         .logits = again,
                         .logits_rows = 1};
  TRY(mox_model_step(model, &step, 1, NULL, &error));
  EXPECT(memcmp(again, original->logits, row_bytes) == 0);
  EXPECT(mox_sequence_length(fork) == visits[1].prompt_length && mox_sequence_length(original->sequence) == length);
  printf("together, alone, and again from a fork: the same bits\n");

  mox_sequence_free(fork);
  for (int i = 0; i < TENANTS; ++i) leave(&together[i]);
  for (int i = 0; i < ADAPTERS; ++i) mox_adapter_release(adapters[i]);
  mox_model_free(model);
  mox_runtime_free(runtime);
  free(again), free(folder);
  return 0;
}
