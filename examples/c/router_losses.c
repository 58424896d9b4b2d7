/* What routers add to a training loss, and how they share out the tokens: of a model that is a
 * mixture of experts itself, and of a MixLoRA adapter over a dense one. The figures are compared
 * with the formula written out in plain C (Switch Transformers, equation 4).
 *
 *   router_losses [MODELS]     default: examples/models
 */
#include "example.h"
#include "prompts.h"

enum { SEQUENCES = 2, ROWS = 20 }; /* the shorter prompt is padded to the longer one's 20 tokens */

/* E * sum over experts of (share of rows that chose it) * (its mean probability); padding left out */
static double plain_balance(const float* logits, const int32_t* chosen, const uint8_t* mask, int64_t layers,
                            int64_t experts, int64_t places) {
  double loss = 0, rows = 0;
  for (int64_t e = 0; e < experts; ++e) {
    double taken = 0, probability = 0;
    rows = 0;
    for (int64_t row = 0; row < layers * SEQUENCES * ROWS; ++row) {
      if (!mask[row % (SEQUENCES * ROWS)]) continue;
      const float* z = logits + row * experts;
      double sum = 0;
      for (int64_t other = 0; other < experts; ++other) sum += exp((double)z[other] - z[e]);
      for (int64_t place = 0; place < places; ++place) taken += chosen[row * places + place] == e;
      probability += 1 / sum;
      ++rows;
    }
    loss += taken / rows * (probability / rows);
  }
  return (double)experts * loss;
}

static void examine(mox_runtime* runtime, const char* models, const char* model_name, const char* adapter_name) {
  char* folder = example_path(models, model_name);
  mox_model* model = NULL;
  TRY(mox_model_open(runtime, folder, NULL, &model, &error));
  mox_model_info info = {.struct_size = sizeof info};
  TRY(mox_model_describe(model, &info, &error));
  free(folder);

  /* An adapter's configuration says which loss it is trained with; a model's we say ourselves. */
  mox_adapter* adapter = NULL;
  mox_router_loss_options options;
  mox_router_loss_options_init(&options, sizeof options);
  if (adapter_name != NULL) {
    char* adapter_folder = example_path(models, adapter_name);
    TRY(mox_adapter_open(model, adapter_folder, &adapter, &error));
    TRY(mox_adapter_router_loss(adapter, &options, &error));
    free(adapter_folder);
  } else {
    options.kind = MOX_ROUTER_TOP_K;
    options.experts = info.experts, options.top_k = info.top_k;
    options.balance_coefficient = 0.02; /* router_aux_loss_coef of its config.json */
  }
  const int32_t* const prompts[SEQUENCES] = {prompt_kjv, prompt_jargon};
  const int64_t lengths[SEQUENCES] = {sizeof prompt_kjv / sizeof prompt_kjv[0], ROWS};
  uint8_t mask[SEQUENCES * ROWS] = {0};
  for (int s = 0; s < SEQUENCES; ++s) memset(mask + s * ROWS, 1, (size_t)lengths[s]);
  options.layers = info.layers, options.sequences = SEQUENCES, options.mask = mask;

  /* One step of both prompts; only the routing is wanted. */
  mox_step steps[SEQUENCES];
  for (int s = 0; s < SEQUENCES; ++s) {
    steps[s] = (mox_step){.adapter = adapter, .tokens = prompts[s], .token_count = lengths[s]};
    TRY(mox_sequence_create(model, NULL, &steps[s].sequence, &error));
  }
  mox_routing* routing = NULL;
  TRY(mox_model_step(model, steps, SEQUENCES, &routing, &error));
  EXPECT(mox_routing_layers(routing) == info.layers && mox_routing_ranges(routing) == SEQUENCES);

  /* [layers, sequences, rows, experts]: the logits of a padded row are never looked at. */
  const int64_t experts = options.experts, places = options.top_k, row_count = (int64_t)info.layers * SEQUENCES * ROWS;
  float* logits = example_memory((size_t)(row_count * experts), sizeof *logits);
  int32_t* chosen = example_memory((size_t)(row_count * places), sizeof *chosen);
  for (int32_t layer = 0; layer < info.layers; ++layer) {
    for (int s = 0; s < SEQUENCES; ++s) {
      mox_routing_info routed = {.struct_size = sizeof routed};
      TRY(mox_routing_describe(routing, layer, s, &routed, &error));
      EXPECT(routed.routers == 1 && routed.rows == lengths[s] && routed.experts == experts && routed.places == places);
      const int64_t first = ((int64_t)layer * SEQUENCES + s) * ROWS;
      TRY(mox_routing_read(routing, layer, s, logits + first * experts, chosen + first * places, NULL, &error));
    }
  }

  double loss = 0, *profile = example_memory((size_t)(info.layers * experts), sizeof *profile);
  TRY(mox_router_loss(&options, logits, row_count, &loss, &error));
  TRY(mox_router_profile(&options, logits, row_count, profile, &error));

  printf("%s%s%s: share of the tokens that went to each expert\n", model_name, adapter ? " with " : "",
         adapter ? adapter_name : "");
  const double tokens = (double)(lengths[0] + lengths[1]);
  for (int32_t layer = 0; layer < info.layers; ++layer) {
    printf("  layer %d ", layer);
    for (int64_t e = 0; e < experts; ++e) {
      double count = 0;
      for (int64_t row = 0; row < SEQUENCES * ROWS; ++row)
        for (int64_t place = 0; place < places; ++place)
          count += mask[row] && chosen[((int64_t)layer * SEQUENCES * ROWS + row) * places + place] == e;
      printf(" %5.3f", profile[layer * experts + e]);
      EXPECT(fabs(profile[layer * experts + e] - count / tokens) < 1e-12);
    }
    printf("\n");
  }
  const double balance = plain_balance(logits, chosen, mask, info.layers, experts, places);
  printf("  loss %.6f = %g * %.4f (even shares would give %.4f)\n\n", loss, options.balance_coefficient, balance,
         (double)places);
  EXPECT(options.balance_coefficient > 0 && fabs(loss - options.balance_coefficient * balance) < 1e-9 * balance);

  free(profile), free(chosen), free(logits);
  mox_routing_free(routing);
  for (int s = 0; s < SEQUENCES; ++s) mox_sequence_free(steps[s].sequence);
  mox_adapter_release(adapter);
  mox_model_free(model);
}

int main(int argc, char** argv) {
  const char* models = argc > 1 ? argv[1] : "examples/models";
  mox_runtime* runtime = NULL;
  TRY(mox_runtime_create(NULL, &runtime, &error));
  examine(runtime, models, "tiny-mixtral", NULL);
  examine(runtime, models, "tiny-llama", "kjv-mixlora");
  mox_runtime_free(runtime);
  printf("losses and profiles agree with plain C\n");
  return 0;
}
