// Kind `router_loss`: what a router adds to the training loss, and how it shares out the rows.
#include "cli/parity/kinds.h"

namespace moxie::cli::parity {
namespace {

mox_router_kind kind_called(const std::string& strategy) {
  if (strategy == "mixlora") return MOX_ROUTER_MIXLORA;
  if (strategy == "mixlora-dynamic") return MOX_ROUTER_DYNAMIC;
  if (strategy == "mixlora-switch") return MOX_ROUTER_SWITCH;
  if (strategy == "mola") return MOX_ROUTER_MOLA;
  throw NotRun("the strategy '" + strategy + "' has no router loss that is known");
}

// Settings that an adapter_config.json leaves out have the reference's defaults.
mox_router_loss_options settings_of(const Case& c) {
  auto settings = defaults(mox_router_loss_options_init);
  const auto strategy = c.option<std::string>("strategy");
  settings.kind = kind_called(strategy);
  if (!c.option("router_loss", strategy != "mola"))
    throw NotRun("option 'router_loss' is off, so there is no aux_loss");
  settings.experts = c.option<int32_t>("num_experts");
  settings.layers = c.option<int64_t>("layers");
  settings.sequences = c.option<int64_t>("sequences");
  settings.top_k = c.option("top_k", int32_t{2});
  settings.top_p = c.option("top_p", 0.8f);
  settings.temperature = c.option("temperature", 0.0f);
  settings.capacity = c.option("expert_capacity", int64_t{32});
  settings.balance_coefficient = c.option("router_aux_loss_coef", 0.001);
  settings.z_coefficient = c.option("router_z_loss_coef", 0.001);
  return settings;
}

}  // namespace

Values run_router_loss(const Case& c, const Runtime&) {
  c.understand({"strategy", "layers", "sequences", "num_experts", "top_k", "top_p", "temperature", "expert_capacity",
                "router_loss", "router_aux_loss_coef", "router_z_loss_coef", "r", "lora_alpha", "target_modules"},
               {"router_logits", "attention_mask"});
  const auto tensor = c.input("router_logits", 2);
  const auto logits = tensor.floats();
  auto settings = settings_of(c);
  if (tensor.shape[1] != settings.experts) {
    throw NotRun("router_logits has " + std::to_string(tensor.shape[1]) + " columns, num_experts is " +
                 std::to_string(settings.experts));
  }
  // The reference's profile counts padding rows.
  std::vector<double> profile(static_cast<size_t>(settings.layers * settings.experts));
  call(mox_router_profile, &settings, logits.data(), tensor.shape[0], profile.data());

  // So do its losses of the dynamic and the switch router, while ours leave padding out wherever a mask is given.
  std::vector<uint8_t> mask;
  if (c.has_input("attention_mask")) {
    const auto given = c.input("attention_mask", 2);
    for (int64_t value : given.integers()) mask.push_back(value != 0);
    if (given.shape[0] != settings.sequences || given.count() * settings.layers != tensor.shape[0]) {
      throw NotRun("attention_mask has the shape " + shape_text(given.shape) + ", router_logits " +
                   shape_text(tensor.shape));
    }
    if (settings.kind == MOX_ROUTER_MIXLORA || settings.kind == MOX_ROUTER_MOLA) settings.mask = mask.data();
  }
  double loss = 0;
  call(mox_router_loss, &settings, logits.data(), tensor.shape[0], &loss);
  return {{"aux_loss", reals({1}, std::vector<double>{loss})},
          {"expert_profile", reals({settings.layers, settings.experts}, profile)}};
}

}  // namespace moxie::cli::parity
