/* A feed-forward of two by two, so small that its result is known: 2 silu(1) and 0. */
#include <math.h>
#include <moxie/moxie.h>
#include <stdio.h>
#include <string.h>

int main(int argc, char** argv) {
  const float identity[] = {1, 0, 0, 1}, twice[] = {2, 0, 0, 2}, input[] = {1, 0};
  const mox_expert_weights weights = {
      {identity, 2, 2, 0, MOX_F32}, {identity, 2, 2, 0, MOX_F32}, {twice, 2, 2, 0, MOX_F32}, NULL, NULL, NULL};
  float output[2] = {0, 0};
  mox_error error;
  mox_runtime* runtime = NULL;
  mox_feed_forward* feed_forward = NULL;
  mox_feed_forward_description description;
  const mox_range range = {NULL, 0, 1};
  mox_batch batch;

  mox_feed_forward_description_init(&description, sizeof description);
  description.kind = MOX_FEED_FORWARD_GATED;
  description.hidden = 2;
  description.ffn = 2;
  description.activation = MOX_ACTIVATION_SILU;
  description.experts = &weights;
  description.expert_count = 1;
  mox_batch_init(&batch, sizeof batch);
  batch.rows = 1;
  batch.input = input;
  batch.input_dtype = MOX_F32;
  batch.output = output;
  batch.output_dtype = MOX_F32;
  batch.ranges = &range;
  batch.range_count = 1;
  if (mox_runtime_create(NULL, &runtime, &error) != MOX_OK ||
      mox_feed_forward_create(runtime, &description, &feed_forward, &error) != MOX_OK ||
      mox_feed_forward_run(feed_forward, &batch, NULL, NULL, &error) != MOX_OK) {
    fprintf(stderr, "%s\n", error.message);
    return 1;
  }
  mox_feed_forward_free(feed_forward);
  mox_runtime_free(runtime);
  printf("moxie %s: %f %f\n", mox_version(), (double)output[0], (double)output[1]);
  if (argc > 1 && strcmp(argv[1], mox_version()) != 0) {
    fprintf(stderr, "the library says it is %s, expected %s\n", mox_version(), argv[1]);
    return 1;
  }
  return fabs(output[0] - 2 / (1 + exp(-1.0))) < 1e-5 && output[1] == 0 ? 0 : 1;
}
