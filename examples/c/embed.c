/* The layer inside somebody's own engine. The engine (own_engine.h) keeps its weights, its attention and its cache;
 * Moxie computes the feed-forward of each layer, for all sequences in one call, each under its own adapter.
 * Four sequences arrive one after the other, so that prompts and single tokens share batches.
 * The logits of every round are compared with those of mox_model_step, and the tokens with what the reference
 * implementation wrote.
 *
 *   embed [MODELS]     default: examples/models
 */
#include "example.h"
#include "own_engine.h"
#include "prompts.h"

enum { TENANTS = 4, NEW_TOKENS = 12, MAX_ROWS = TENANTS * MAX_TOKENS };

#define LENGTH(ids) (int)(sizeof ids / sizeof ids[0])

typedef struct visit {
  const char* adapter; /* NULL: the plain base */
  const char* prefix;  /* of its tensors' names */
  const int32_t* prompt;
  int prompt_length;
  int32_t reference[NEW_TOKENS]; /* of examples/models/reference.json */
} visit;

static const visit visits[TENANTS] = {
    {NULL, NULL, prompt_sotu, LENGTH(prompt_sotu), {316, 447, 364, 302, 261, 1960, 429, 331, 273, 263, 1184, 607}},
    {"kjv-mixlora",
     "mixlora.",
     prompt_kjv,
     LENGTH(prompt_kjv),
     {263, 500, 533, 706, 416, 291, 851, 1965, 313, 316, 533, 364}},
    {"melville-loramoe",
     "loramoe.",
     prompt_moby,
     LENGTH(prompt_moby),
     {263, 843, 377, 261, 1086, 291, 263, 571, 1965, 280, 263, 571}},
    {"jargon-lora",
     "base_model.model.model.",
     prompt_jargon,
     LENGTH(prompt_jargon),
     {329, 261, 375, 1966, 732, 417, 1984, 383, 375, 1966, 732, 417}}};

/* The engine: what it had, and what it has been given. */
typedef struct engine {
  own_model model;
  mox_feed_forward* feed_forwards[LAYERS];
} engine;

typedef struct tenant {
  const visit* wants;
  own_cache cache;
  own_attention_lora* attention; /* the engine's part of the adapter */
  mox_adapter* adapters[LAYERS]; /* Moxie's part */
  int32_t tokens[MAX_TOKENS];    /* prompt and answer */
  int count;
  float logits[VOCABULARY];
} tenant;

/* Packs the feed-forwards from the weights in the engine's memory, which may let go of them after. */
static void give_feed_forwards(engine* e, mox_runtime* runtime, const mox_file* file) {
  for (int i = 0; i < LAYERS; ++i) {
    float* gate = own_read_in_layer(file, i, "mlp.gate_proj", FFN, HIDDEN);
    float* up = own_read_in_layer(file, i, "mlp.up_proj", FFN, HIDDEN);
    float* down = own_read_in_layer(file, i, "mlp.down_proj", HIDDEN, FFN);
    const mox_expert_weights weights = {.gate = {.data = gate, .rows = FFN, .columns = HIDDEN, .dtype = MOX_F32},
                                        .up = {.data = up, .rows = FFN, .columns = HIDDEN, .dtype = MOX_F32},
                                        .down = {.data = down, .rows = HIDDEN, .columns = FFN, .dtype = MOX_F32}};
    mox_feed_forward_description description;
    mox_feed_forward_description_init(&description, sizeof description);
    description.kind = MOX_FEED_FORWARD_GATED;
    description.hidden = HIDDEN, description.ffn = FFN;
    description.activation = MOX_ACTIVATION_SILU;
    description.experts = &weights, description.expert_count = 1;
    TRY(mox_feed_forward_create(runtime, &description, &e->feed_forwards[i], &error));
    free(gate), free(up), free(down);
  }
}

/* The value of a setting as `moxie info` shows it. */
static float setting(const mox_file* file, const char* wanted) {
  const char *name, *value;
  for (int64_t i = 0; mox_file_setting(file, i, &name, &value, NULL) == MOX_OK; ++i) {
    if (strcmp(name, wanted) == 0) return strtof(value, NULL);
  }
  fprintf(stderr, "the adapter states no %s\n", wanted);
  exit(1);
}

static void give_adapter(const engine* e, const char* models, tenant* t) {
  char* folder = example_path(models, t->wants->adapter);
  for (int i = 0; i < LAYERS; ++i) {
    TRY(mox_adapter_open_for_feed_forward(e->feed_forwards[i], folder, i, &t->adapters[i], &error));
  }
  mox_file* file = NULL;
  TRY(mox_file_open(folder, &file, &error));
  t->attention = example_memory(1, sizeof *t->attention);
  own_attention_lora_read(t->attention, file, t->wants->prefix, (int)setting(file, "rank"), setting(file, "scaling"));
  mox_file_free(file);
  free(folder);
}

/* One forward pass over the new tokens of all who are present; leaves each one's logits. */
static void engine_step(const engine* e, tenant* const* who, int count) {
  static float states[MAX_ROWS][HIDDEN], x[MAX_ROWS][HIDDEN];
  int begins[TENANTS + 1] = {0};
  for (int i = 0; i < count; ++i) {
    const tenant* t = who[i];
    begins[i + 1] = begins[i] + t->count - t->cache.length;
    for (int row = begins[i]; row < begins[i + 1]; ++row) {
      const int32_t token = t->tokens[t->cache.length + row - begins[i]];
      memcpy(states[row], e->model.embedding + (int64_t)token * HIDDEN, sizeof states[row]);
    }
  }
  const int rows = begins[count];
  for (int layer = 0; layer < LAYERS; ++layer) {
    mox_range ranges[TENANTS];
    for (int i = 0; i < count; ++i) {
      tenant* t = who[i];
      for (int row = begins[i]; row < begins[i + 1]; ++row) {
        own_attention(&e->model, t->attention, &t->cache, layer, t->cache.length + row - begins[i], states[row]);
      }
      ranges[i] = (mox_range){t->adapters[layer], begins[i], begins[i + 1]};
    }
    for (int row = 0; row < rows; ++row) own_norm(e->model.layers[layer].mlp_norm, states[row], x[row]);
    mox_batch batch;
    mox_batch_init(&batch, sizeof batch);
    batch.rows = rows;
    batch.input = x, batch.input_dtype = MOX_F32;
    batch.output = x, batch.output_dtype = MOX_F32;
    batch.ranges = ranges, batch.range_count = (size_t)count;
    TRY(mox_feed_forward_run(e->feed_forwards[layer], &batch, NULL, NULL, &error));
    for (int row = 0; row < rows; ++row) {
      for (int i = 0; i < HIDDEN; ++i) states[row][i] += x[row][i];
    }
  }
  for (int i = 0; i < count; ++i) {
    float last[HIDDEN];
    own_norm(e->model.norm, states[begins[i + 1] - 1], last);
    own_linear(e->model.head, NULL, last, HIDDEN, VOCABULARY, who[i]->logits);
    who[i]->cache.length = who[i]->count;
  }
}

/* The same rounds through mox_model_step. */
typedef struct checker {
  mox_model* model;
  mox_adapter* adapters[TENANTS];
  mox_sequence* sequences[TENANTS];
} checker;

static checker open_checker(mox_runtime* runtime, const char* models, const char* folder) {
  checker c = {NULL};
  mox_load_options load;
  mox_load_options_init(&load, sizeof load);
  load.weights = MOX_WEIGHTS_F32;
  TRY(mox_model_open(runtime, folder, &load, &c.model, &error));
  for (int i = 0; i < TENANTS; ++i) {
    TRY(mox_sequence_create(c.model, NULL, &c.sequences[i], &error));
    if (visits[i].adapter == NULL) continue;
    char* adapter = example_path(models, visits[i].adapter);
    TRY(mox_adapter_open(c.model, adapter, &c.adapters[i], &error));
    free(adapter);
  }
  return c;
}

/* ||engine - library|| / ||library|| of one tenant's logits, whose new tokens are not yet in the checker. */
static double check(const checker* c, int index, const tenant* t) {
  static float logits[VOCABULARY];
  double truth[VOCABULARY];
  const int64_t seen = mox_sequence_length(c->sequences[index]);
  const mox_step step = {.sequence = c->sequences[index],
                         .adapter = c->adapters[index],
                         .tokens = t->tokens + seen,
                         .token_count = t->count - seen,
                         .logits = logits,
                         .logits_rows = 1};
  TRY(mox_model_step(c->model, &step, 1, NULL, &error));
  for (int i = 0; i < VOCABULARY; ++i) truth[i] = logits[i];
  return example_error(t->logits, truth, VOCABULARY);
}

static void close_checker(checker* c) {
  for (int i = 0; i < TENANTS; ++i) mox_sequence_free(c->sequences[i]), mox_adapter_release(c->adapters[i]);
  mox_model_free(c->model);
}

static int32_t likeliest(const float* logits) {
  int32_t best = 0;
  for (int32_t i = 1; i < VOCABULARY; ++i) best = logits[i] > logits[best] ? i : best;
  return best;
}

int main(int argc, char** argv) {
  const char* models = argc > 1 ? argv[1] : "examples/models";
  char* folder = example_path(models, "tiny-llama");
  mox_runtime* runtime = NULL;
  mox_file* file = NULL;
  engine e = {.feed_forwards = {NULL}};
  TRY(mox_runtime_create(NULL, &runtime, &error));
  TRY(mox_file_open(folder, &file, &error));
  own_model_read(&e.model, file);
  give_feed_forwards(&e, runtime, file);
  mox_file_free(file);

  tenant* tenants = example_memory(TENANTS, sizeof *tenants);
  for (int i = 0; i < TENANTS; ++i) {
    tenant* t = &tenants[i];
    t->wants = &visits[i];
    t->count = visits[i].prompt_length;
    memcpy(t->tokens, visits[i].prompt, (size_t)t->count * sizeof t->tokens[0]);
    EXPECT(t->count + NEW_TOKENS <= MAX_TOKENS);
    if (visits[i].adapter) give_adapter(&e, models, t);
  }

  checker library = open_checker(runtime, models, folder);
  double worst = 0;
  for (int round = 0, present = 1; present > 0; ++round) {
    tenant* who[TENANTS];
    int rows = 0;
    present = 0;
    for (int i = 0; i <= round && i < TENANTS; ++i) {
      tenant* t = &tenants[i];
      if (t->count == visits[i].prompt_length + NEW_TOKENS) continue;
      rows += t->count - t->cache.length;
      who[present++] = t;
    }
    if (present == 0) break;
    engine_step(&e, who, present);
    for (int i = 0; i < present; ++i) {
      worst = fmax(worst, check(&library, (int)(who[i] - tenants), who[i]));
      who[i]->tokens[who[i]->count++] = likeliest(who[i]->logits);
    }
    printf("round %2d: sequences %d, rows %2d\n", round, present, rows);
  }

  for (int i = 0; i < TENANTS; ++i) {
    const int32_t* answer = tenants[i].tokens + visits[i].prompt_length;
    printf("%-17s", visits[i].adapter ? visits[i].adapter : "(base)");
    for (int token = 0; token < NEW_TOKENS; ++token) printf(" %4d", answer[token]);
    printf("\n");
    EXPECT(memcmp(answer, visits[i].reference, sizeof visits[i].reference) == 0);
  }
  printf("against mox_model_step: error %.1e; tokens as the reference wrote them\n", worst);
  EXPECT(worst < 1e-5);

  close_checker(&library);
  for (int i = 0; i < TENANTS; ++i) {
    for (int layer = 0; layer < LAYERS; ++layer) mox_adapter_release(tenants[i].adapters[layer]);
    if (tenants[i].attention) own_attention_lora_free(tenants[i].attention);
    free(tenants[i].attention);
  }
  for (int i = 0; i < LAYERS; ++i) mox_feed_forward_free(e.feed_forwards[i]);
  own_model_free(&e.model);
  mox_runtime_free(runtime);
  free(tenants), free(folder);
  return 0;
}
