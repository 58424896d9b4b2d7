/* One layer of a checkpoint as a feed-forward, under four adapters and none in a single call.
 * The rows are bfloat16 and lie with gaps between them, as in somebody else's tensor.
 * The base's rows are compared with plain C on the checkpoint's own tensors, and every range with
 * itself run alone: the same bits.
 *
 *   layer_of_checkpoint [MODELS [LAYER]]     default: examples/models 2
 */
#include "example.h"
#include "plain_feed_forward.h"

enum { RANGES = 5, ROWS_PER_RANGE = 4, ROWS = RANGES * ROWS_PER_RANGE, GAP = 16 };

static const char* const names[RANGES] = {"base", "kjv-mixlora", "melville-loramoe", "presidents-mola", "jargon-lora"};

/* A bfloat16 is the upper half of a float. */
static float from_bfloat16(uint16_t value) {
  const uint32_t bits = (uint32_t)value << 16;
  float result;
  memcpy(&result, &bits, sizeof result);
  return result;
}

/* A tensor of a checkpoint, widened to float32. */
static mox_matrix read_tensor(const mox_file* file, int layer, const char* name) {
  char full_name[96];
  snprintf(full_name, sizeof full_name, "model.layers.%d.mlp.%s.weight", layer, name);
  int64_t index;
  mox_tensor_info info = {.struct_size = sizeof info};
  TRY(mox_file_find_tensor(file, full_name, &index, &error));
  TRY(mox_file_tensor(file, index, &info, &error));
  EXPECT(info.dtype == MOX_BF16 && info.dimensions == 2);
  const int64_t count = info.shape[0] * info.shape[1];
  uint16_t* stored = example_memory((size_t)count, sizeof *stored);
  float* data = example_memory((size_t)count, sizeof *data);
  TRY(mox_file_read_tensor(file, index, stored, (size_t)info.bytes, &error));
  for (int64_t i = 0; i < count; ++i) data[i] = from_bfloat16(stored[i]);
  free(stored);
  return (mox_matrix){.data = data, .rows = info.shape[0], .columns = info.shape[1], .dtype = MOX_F32};
}

/* The first row's decision of each router of a range. */
static void print_routing(const mox_routing* routing, int range) {
  mox_routing_info info = {.struct_size = sizeof info};
  TRY(mox_routing_describe(routing, 0, range, &info, &error));
  printf("%s%s\n", names[range], info.routers ? "" : ": no router");
  if (info.routers == 0) return;
  const size_t places = (size_t)(info.routers * info.rows * info.places);
  int32_t* experts = example_memory(places, sizeof *experts);
  float* weights = example_memory(places, sizeof *weights);
  TRY(mox_routing_read(routing, 0, range, NULL, experts, weights, &error));
  for (int32_t router = 0; router < info.routers; ++router) {
    const char* linear;
    TRY(mox_routing_router_name(routing, 0, range, router, &linear, &error));
    printf("  %-10s row 0:", linear);
    for (int32_t place = 0; place < info.places; ++place) {
      const int64_t at = router * info.rows * info.places + place;
      printf("  expert %d %.3f", experts[at], weights[at]);
    }
    printf("\n");
  }
  free(experts);
  free(weights);
}

int main(int argc, char** argv) {
  const char* models = argc > 1 ? argv[1] : "examples/models";
  const int layer = argc > 2 ? atoi(argv[2]) : 2;
  char* folder = example_path(models, "tiny-llama");
  mox_runtime* runtime = NULL;
  mox_feed_forward* feed_forward = NULL;
  TRY(mox_runtime_create(NULL, &runtime, &error));
  TRY(mox_feed_forward_open(runtime, folder, layer, NULL, &feed_forward, &error));
  mox_feed_forward_info info = {.struct_size = sizeof info};
  TRY(mox_feed_forward_describe(feed_forward, &info, &error));
  printf("layer %d of %s: %lld x %lld, %s weights\n\n", layer, folder, (long long)info.hidden, (long long)info.ffn,
         mox_dtype_name(info.weights));

  mox_adapter* adapters[RANGES] = {NULL};
  for (int i = 1; i < RANGES; ++i) {
    char* adapter = example_path(models, names[i]);
    TRY(mox_adapter_open_for_feed_forward(feed_forward, adapter, -1, &adapters[i], &error));
    free(adapter);
  }

  /* The same four rows for everybody; what lies in the gaps is nobody's business. */
  const int64_t stride = info.hidden + GAP;
  uint16_t* input = example_memory((size_t)(ROWS * stride), sizeof *input);
  float* output = example_memory((size_t)(ROWS * stride), sizeof *output);
  float* alone = example_memory((size_t)(ROWS_PER_RANGE * stride), sizeof *alone);
  uint32_t seed = 7;
  for (int64_t i = 0; i < ROWS_PER_RANGE * stride; ++i) {
    const float value = example_random(&seed, 2.0f);
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    for (int range = 0; range < RANGES; ++range) input[range * ROWS_PER_RANGE * stride + i] = (uint16_t)(bits >> 16);
  }
  for (int64_t i = 0; i < ROWS * stride; ++i) output[i] = -77.0f;

  mox_range ranges[RANGES];
  for (int i = 0; i < RANGES; ++i) ranges[i] = (mox_range){adapters[i], i * ROWS_PER_RANGE, (i + 1) * ROWS_PER_RANGE};
  mox_batch batch;
  mox_batch_init(&batch, sizeof batch);
  batch.rows = ROWS;
  batch.input = input, batch.input_dtype = MOX_BF16, batch.input_stride = stride;
  batch.output = output, batch.output_dtype = MOX_F32, batch.output_stride = stride;
  batch.ranges = ranges, batch.range_count = RANGES;
  mox_routing* routing = NULL;
  TRY(mox_feed_forward_run(feed_forward, &batch, NULL, &routing, &error));

  for (int i = 0; i < RANGES; ++i) {
    print_routing(routing, i);
    const float* mixed = output + i * ROWS_PER_RANGE * stride;
    const mox_range whole = {adapters[i], 0, ROWS_PER_RANGE};
    batch.rows = ROWS_PER_RANGE, batch.ranges = &whole, batch.range_count = 1, batch.output = alone;
    TRY(mox_feed_forward_run(feed_forward, &batch, NULL, NULL, &error));
    for (int row = 0; row < ROWS_PER_RANGE; ++row) {
      const size_t row_bytes = (size_t)info.hidden * sizeof *alone;
      EXPECT(memcmp(mixed + row * stride, alone + row * stride, row_bytes) == 0);
      EXPECT(i == 0 || memcmp(mixed + row * stride, output + row * stride, row_bytes) != 0);
      for (int64_t gap = info.hidden; gap < stride; ++gap) EXPECT(mixed[row * stride + gap] == -77.0f);
    }
  }

  /* bfloat16 weights round each product's input to bfloat16: hence the wider limit here. */
  mox_file* file = NULL;
  TRY(mox_file_open(folder, &file, &error));
  mox_expert_weights weights = {.gate = read_tensor(file, layer, "gate_proj"),
                                .up = read_tensor(file, layer, "up_proj"),
                                .down = read_tensor(file, layer, "down_proj")};
  mox_file_free(file);
  float* x = example_memory((size_t)info.hidden, sizeof *x);
  double worst = 0;
  for (int row = 0; row < ROWS_PER_RANGE; ++row) {
    double* truth = example_memory((size_t)info.hidden, sizeof *truth);
    for (int64_t i = 0; i < info.hidden; ++i) x[i] = from_bfloat16(input[row * stride + i]);
    plain_expert(&weights, info.activation, NULL, NULL, x, 1.0, truth);
    worst = fmax(worst, example_error(output + row * stride, truth, (size_t)info.hidden));
    free(truth);
  }
  printf("\nbase against plain C: error %.1e; every range has the bits it has alone\n", worst);
  EXPECT(worst < 5e-3);

  free(x);
  free((void*)weights.gate.data), free((void*)weights.up.data), free((void*)weights.down.data);
  free(input), free(output), free(alone), free(folder);
  mox_routing_free(routing);
  for (int i = 0; i < RANGES; ++i) mox_adapter_release(adapters[i]);
  mox_feed_forward_free(feed_forward);
  mox_runtime_free(runtime);
  return 0;
}
