/* Weights that your program holds, run as feed-forwards: dense gated, dense plain with biases, and
 * a bank of experts. Adapters are made from your own factors; one batch mixes ranges of rows under
 * different adapters. Every row is compared with the same sum written out in plain C.
 *
 *   wrap_weights
 */
#include "example.h"
#include "plain_feed_forward.h"

enum { HIDDEN = 24, FFN = 40, EXPERTS = 4, TOP_K = 2, RANK = 3, ROWS = 6 };

static uint32_t seed = 1;
static void* ours[128]; /* every matrix made below, to be freed together */
static int ours_count = 0;

/* A matrix of random numbers as the library takes it. The memory stays ours. */
static mox_matrix random_matrix(int64_t rows, int64_t columns, float size) {
  EXPECT(ours_count < (int)(sizeof ours / sizeof ours[0]));
  float* data = example_memory((size_t)(rows * columns), sizeof *data);
  for (int64_t i = 0; i < rows * columns; ++i) data[i] = example_random(&seed, size);
  ours[ours_count++] = data;
  return (mox_matrix){.data = data, .rows = rows, .columns = columns, .dtype = MOX_F32};
}

static void free_all(void) {
  while (ours_count > 0) free(ours[--ours_count]);
}

static mox_expert_weights random_weights(int gated, int biases) {
  mox_expert_weights w = {.gate = random_matrix(FFN, HIDDEN, 0.3f), .down = random_matrix(HIDDEN, FFN, 0.3f)};
  if (gated) w.up = random_matrix(FFN, HIDDEN, 0.3f);
  if (biases) w.gate_bias = random_matrix(1, FFN, 0.5f).data, w.down_bias = random_matrix(1, HIDDEN, 0.5f).data;
  return w;
}

/* Factors over gate and down: one pair for LoRA, one for each expert for MixLoRA. */
typedef struct factors {
  mox_lora_factors gate[EXPERTS], down[EXPERTS];
} factors;

static factors random_factors(void) {
  factors f;
  for (int e = 0; e < EXPERTS; ++e) {
    f.gate[e] = (mox_lora_factors){random_matrix(RANK, HIDDEN, 0.3f), random_matrix(FFN, RANK, 0.3f), 2.0f, NULL};
    f.down[e] = (mox_lora_factors){random_matrix(RANK, FFN, 0.3f), random_matrix(HIDDEN, RANK, 0.3f), 2.0f, NULL};
  }
  return f;
}

/* Two adapters over the same base: plain LoRA, and MixLoRA with a router of its own. */
static void create_adapters(const mox_feed_forward* feed_forward, const factors* f, mox_matrix router,
                            mox_adapter** lora, mox_adapter** mixlora) {
  mox_adapter_projection projections[] = {{.projection = MOX_PROJECTION_GATE, .factors = f->gate, .factor_count = 1},
                                          {.projection = MOX_PROJECTION_DOWN, .factors = f->down, .factor_count = 1}};
  mox_adapter_description description;
  mox_adapter_description_init(&description, sizeof description);
  description.kind = MOX_ADAPTER_LORA;
  description.projections = projections, description.projection_count = 2;
  TRY(mox_adapter_create(feed_forward, &description, lora, &error));

  projections[0].factor_count = projections[1].factor_count = EXPERTS;
  description.kind = MOX_ADAPTER_MIXLORA;
  description.experts = EXPERTS, description.top_k = TOP_K, description.router = router;
  TRY(mox_adapter_create(feed_forward, &description, mixlora, &error));
}

static void run(mox_runtime* runtime, const char* title, mox_feed_forward_kind kind, mox_activation activation) {
  const int bank = kind == MOX_FEED_FORWARD_EXPERTS, plain = kind == MOX_FEED_FORWARD_PLAIN;
  mox_expert_weights weights[EXPERTS];
  for (int e = 0; e < EXPERTS; ++e) weights[e] = random_weights(!plain, plain);
  mox_matrix router = random_matrix(EXPERTS, HIDDEN, 1.0f);
  factors f = random_factors();

  mox_feed_forward_description description;
  mox_feed_forward_description_init(&description, sizeof description);
  description.kind = kind, description.activation = activation;
  description.hidden = HIDDEN, description.ffn = FFN;
  description.experts = weights, description.expert_count = bank ? EXPERTS : 1;
  if (bank) description.router = router, description.top_k = TOP_K;
  mox_feed_forward* feed_forward = NULL;
  TRY(mox_feed_forward_create(runtime, &description, &feed_forward, &error));
  mox_adapter* adapters[3] = {NULL, NULL, NULL}; /* NULL asks for the plain base; a bank routes by itself */
  if (!bank) create_adapters(feed_forward, &f, router, &adapters[1], &adapters[2]);

  /* Six rows in three ranges, each under its own adapter: one call. */
  float input[ROWS][HIDDEN], output[ROWS][HIDDEN];
  for (int row = 0; row < ROWS; ++row)
    for (int i = 0; i < HIDDEN; ++i) input[row][i] = example_random(&seed, 1.0f);
  const mox_range ranges[] = {{adapters[0], 0, 2}, {adapters[1], 2, 4}, {adapters[2], 4, ROWS}};
  mox_batch batch;
  mox_batch_init(&batch, sizeof batch);
  batch.rows = ROWS;
  batch.input = input, batch.input_dtype = MOX_F32;
  batch.output = output, batch.output_dtype = MOX_F32;
  batch.ranges = ranges, batch.range_count = 3;
  mox_routing* routing = NULL;
  TRY(mox_feed_forward_run(feed_forward, &batch, NULL, &routing, &error));

  printf("%s\n", title);
  for (int row = 0; row < ROWS; ++row) {
    const int range = row / 2, place = row % 2, routed = bank || range == 2;
    double truth[HIDDEN] = {0};
    printf("  row %d  %-7s", row, bank ? "bank" : range == 0 ? "base" : range == 1 ? "lora" : "mixlora");
    mox_routing_info info = {.struct_size = sizeof info};
    TRY(mox_routing_describe(routing, 0, range, &info, &error));
    EXPECT(info.routers == routed);
    if (routed) { /* the router's decision, read from the plan and made again in plain C */
      float logits[2][EXPERTS], share[2][TOP_K];
      int32_t experts[2][TOP_K];
      TRY(mox_routing_read(routing, 0, range, logits[0], experts[0], share[0], &error));
      int plain_experts[TOP_K];
      double plain_logits[EXPERTS], plain_share[TOP_K];
      plain_route(&router, TOP_K, input[row], plain_logits, plain_experts, plain_share);
      EXPECT(example_error(logits[place], plain_logits, EXPERTS) < 1e-5);
      EXPECT(example_error(share[place], plain_share, TOP_K) < 1e-5);
      for (int k = 0; k < TOP_K; ++k) {
        const int e = plain_experts[k];
        EXPECT(experts[place][k] == e);
        printf("  expert %d: %.3f", e, share[place][k]);
        plain_expert(&weights[bank ? e : 0], activation, bank ? NULL : &f.gate[e], bank ? NULL : &f.down[e], input[row],
                     plain_share[k], truth);
      }
    } else {
      plain_expert(&weights[0], activation, range ? f.gate : NULL, range ? f.down : NULL, input[row], 1.0, truth);
    }
    printf("  error %.1e\n", example_error(output[row], truth, HIDDEN));
    EXPECT(example_error(output[row], truth, HIDDEN) < 1e-5);
  }

  mox_routing_free(routing);
  for (int i = 0; i < 3; ++i) mox_adapter_release(adapters[i]);
  mox_feed_forward_free(feed_forward);
  free_all();
}

int main(void) {
  mox_runtime* runtime = NULL;
  TRY(mox_runtime_create(NULL, &runtime, &error));
  run(runtime, "dense, gated, silu", MOX_FEED_FORWARD_GATED, MOX_ACTIVATION_SILU);
  run(runtime, "dense, plain with biases, gelu", MOX_FEED_FORWARD_PLAIN, MOX_ACTIVATION_GELU);
  run(runtime, "bank of experts, silu", MOX_FEED_FORWARD_EXPERTS, MOX_ACTIVATION_SILU);
  mox_runtime_free(runtime);
  printf("every row agrees with plain C\n");
  return 0;
}
