/* Taking the decision out of the router's hands: route only, look at the plan, run it, change it.
 * Shows that the router's own plan gives the router's own bits, that a plan may send rows to other
 * experts, and that a plan which makes no sense is refused.
 *
 *   routing_plan [MODELS]     default: examples/models
 */
#include "example.h"

enum { LAYER = 1, BASE_ROWS = 2, ROWS = 8, ROUTED = ROWS - BASE_ROWS, MAX_HIDDEN = 1024, TOP_K = 2, EXPERTS = 8 };

static float input[ROWS * MAX_HIDDEN];

/* The batch under a plan (NULL: the router decides). */
static void run(const mox_feed_forward* feed_forward, mox_batch batch, const mox_routing* plan, float* output) {
  batch.output = output;
  TRY(mox_feed_forward_run(feed_forward, &batch, plan, NULL, &error));
}

/* A plan for the two ranges of the batch: the base has no router, the adapter takes these. */
static mox_status create_plan(const int32_t* experts, const float* weights, mox_routing** plan, mox_error* error) {
  const mox_routing_choice choices[] = {
      {.rows = BASE_ROWS},
      {.rows = ROUTED, .routers = 1, .experts = EXPERTS, .places = TOP_K, .expert_ids = experts, .weights = weights}};
  return mox_routing_create(choices, 2, plan, error);
}

/* Every row to one pair of experts. */
static mox_routing* same_for_all(int32_t first, float first_weight, int32_t second, float second_weight) {
  int32_t experts[ROUTED][TOP_K];
  float weights[ROUTED][TOP_K];
  for (int row = 0; row < ROUTED; ++row) {
    experts[row][0] = first, weights[row][0] = first_weight;
    experts[row][1] = second, weights[row][1] = second_weight;
  }
  mox_routing* plan = NULL;
  TRY(create_plan(experts[0], weights[0], &plan, &error));
  return plan;
}

int main(int argc, char** argv) {
  const char* models = argc > 1 ? argv[1] : "examples/models";
  char *folder = example_path(models, "tiny-llama"), *adapter_folder = example_path(models, "kjv-mixlora");
  mox_runtime* runtime = NULL;
  mox_feed_forward* feed_forward = NULL;
  mox_adapter* adapter = NULL;
  TRY(mox_runtime_create(NULL, &runtime, &error));
  mox_load_options load;
  mox_load_options_init(&load, sizeof load);
  load.weights = MOX_WEIGHTS_F32;
  TRY(mox_feed_forward_open(runtime, folder, LAYER, &load, &feed_forward, &error));
  TRY(mox_adapter_open_for_feed_forward(feed_forward, adapter_folder, -1, &adapter, &error));
  mox_feed_forward_info info = {.struct_size = sizeof info};
  TRY(mox_feed_forward_describe(feed_forward, &info, &error));
  EXPECT(info.hidden <= MAX_HIDDEN);

  uint32_t seed = 3;
  for (int64_t i = 0; i < ROWS * info.hidden; ++i) input[i] = example_random(&seed, 1.5f);
  const mox_range ranges[] = {{NULL, 0, BASE_ROWS}, {adapter, BASE_ROWS, ROWS}};
  mox_batch batch;
  mox_batch_init(&batch, sizeof batch);
  batch.rows = ROWS;
  batch.input = input, batch.input_dtype = MOX_F32, batch.output_dtype = MOX_F32;
  batch.ranges = ranges, batch.range_count = 2;

  /* Decide, without running anything. */
  mox_routing* decided = NULL;
  TRY(mox_feed_forward_route(feed_forward, &batch, &decided, &error));
  mox_routing_info routed = {.struct_size = sizeof routed};
  TRY(mox_routing_describe(decided, 0, 1, &routed, &error));
  EXPECT(routed.rows == ROUTED && routed.routers == 1 && routed.experts == EXPERTS && routed.places == TOP_K);
  int32_t experts[ROUTED][TOP_K];
  float weights[ROUTED][TOP_K];
  TRY(mox_routing_read(decided, 0, 1, NULL, experts[0], weights[0], &error));
  for (int row = 0; row < ROUTED; ++row) {
    printf("row %d: expert %d weighs %.3f, expert %d weighs %.3f\n", BASE_ROWS + row, experts[row][0], weights[row][0],
           experts[row][1], weights[row][1]);
    EXPECT(fabsf(weights[row][0] + weights[row][1] - 1.0f) < 1e-6f);
  }

  const size_t count = (size_t)(ROWS * info.hidden), bytes = count * sizeof(float);
  float *free_run = example_memory(count, sizeof(float)), *planned = example_memory(count, sizeof(float));
  float *first = example_memory(count, sizeof(float)), *second = example_memory(count, sizeof(float));

  /* The plan as it came, and the same plan built from what was read: the router's own bits. */
  run(feed_forward, batch, NULL, free_run);
  run(feed_forward, batch, decided, planned);
  EXPECT(memcmp(free_run, planned, bytes) == 0);
  mox_routing* rebuilt = NULL;
  TRY(create_plan(experts[0], weights[0], &rebuilt, &error));
  memset(planned, 0, bytes);
  run(feed_forward, batch, rebuilt, planned);
  EXPECT(memcmp(free_run, planned, bytes) == 0);
  printf("the router's own plan gives the router's own bits\n");

  /* Other experts: -1 leaves a place empty. Half of one and half of another is the mean of both. */
  mox_routing *only_first = same_for_all(0, 1.0f, -1, 0.0f), *only_second = same_for_all(5, 1.0f, -1, 0.0f);
  mox_routing* half = same_for_all(0, 0.5f, 5, 0.5f);
  run(feed_forward, batch, only_first, first);
  run(feed_forward, batch, only_second, second);
  run(feed_forward, batch, half, planned);
  double* mean = example_memory(count, sizeof *mean);
  for (size_t i = 0; i < count; ++i) mean[i] = 0.5 * ((double)first[i] + second[i]);
  printf("half of expert 0 and half of expert 5 against the mean of both: error %.1e\n",
         example_error(planned, mean, count));
  EXPECT(example_error(planned, mean, count) < 1e-5);
  EXPECT(memcmp(first, second, bytes) != 0 && memcmp(first, free_run, bytes) != 0);
  /* The base's rows have no router and never noticed. */
  EXPECT(memcmp(first, free_run, (size_t)(BASE_ROWS * info.hidden) * sizeof(float)) == 0);

  /* An expert that is not there. */
  mox_routing* nonsense = NULL;
  mox_error refusal;
  experts[3][1] = EXPERTS;
  EXPECT(create_plan(experts[0], weights[0], &nonsense, &refusal) == MOX_INVALID_ARGUMENT && nonsense == NULL);
  printf("refused: %s\n", refusal.message);

  mox_routing* plans[] = {decided, rebuilt, only_first, only_second, half};
  for (size_t i = 0; i < sizeof plans / sizeof plans[0]; ++i) mox_routing_free(plans[i]);
  free(mean), free(free_run), free(planned), free(first), free(second), free(folder), free(adapter_folder);
  mox_adapter_release(adapter);
  mox_feed_forward_free(feed_forward);
  mox_runtime_free(runtime);
  return 0;
}
