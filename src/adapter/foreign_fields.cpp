#include "adapter/foreign_fields.h"

#include <algorithm>
#include <array>
#include <string_view>

namespace moxie::adapter {
namespace {

using checkpoint::Fields;
using checkpoint::Json;

// Read elsewhere, or without effect at inference.
constexpr std::array<std::string_view, 31> own_fields = {
    "act_fn",
    "base_model_name_or_path",
    "bias",
    "expert_capacity",
    "expert_lora",
    "ffn_dropout",
    "jitter_noise",
    "lora_alpha",
    "lora_dropout",
    "lora_init",
    "name",
    "num_experts",
    "peft_type",
    "r",
    "router_aux_loss_coef",
    "router_init_range",
    "router_loss",
    "router_z_loss_coef",
    "routing_strategy",
    "sparse_step",
    "target_modules",
    "task_name",
    "task_type",
    "temperature",
    "top_k",
    "top_p",
    "use_dora",
    "use_rslora",
    "inference_mode",
    "revision",
    "auto_mapping",
};

constexpr std::array<std::string_view, 7> own_expert_fields = {
    "bias", "lora_alpha", "lora_dropout", "lora_init", "r", "use_dora", "use_rslora",
};

// PEFT's: how a run was made, not what the factors mean.
constexpr std::array<std::string_view, 6> harmless_peft_fields = {
    "layers_pattern", "megatron_core", "peft_version", "qalora_group_size", "runtime_config", "ensure_weight_tying",
};

// PEFT's: they change what the factors mean, or what else the folder replaces, unless they are empty.
constexpr std::array<std::string_view, 22> meaningful_peft_fields = {
    "alora_invocation_tokens",
    "alpha_pattern",
    "arrow_config",
    "corda_config",
    "eva_config",
    "exclude_modules",
    "fan_in_fan_out",
    "kasa_config",
    "layer_replication",
    "layers_to_transform",
    "loftq_config",
    "lora_bias",
    "lora_ga_config",
    "megatron_config",
    "modules_to_save",
    "monteclora_config",
    "rank_pattern",
    "target_parameters",
    "trainable_token_indices",
    "use_bdlora",
    "use_qalora",
    "velora_config",
};

template <size_t size>
bool contains(const std::array<std::string_view, size>& list, std::string_view name) {
  return std::find(list.begin(), list.end(), name) != list.end();
}

// Null, false, or without elements.
bool is_neutral(const Json& value) {
  if (value.is_null()) return true;
  if (value.is_boolean()) return !value.get<bool>();
  if (value.is_array() || value.is_object()) return value.empty();
  return value.is_string() && value.get_ref<const std::string&>().empty();
}

// How fresh factors were drawn. Other ways than these also change the base's weights.
bool keeps_the_base(const Json& init_lora_weights) {
  return init_lora_weights.is_null() || init_lora_weights.is_boolean() || init_lora_weights == "gaussian";
}

void refuse_bias(const Fields& fields) {
  if (const auto bias = fields.string("bias"); bias && *bias != "none") {
    fields.refuse_unsupported("bias", R"(trained biases are not read; expected "none")");
  }
}

}  // namespace

bool is_peft_field(const std::string& name) {
  return name == "init_lora_weights" || contains(harmless_peft_fields, name) || contains(meaningful_peft_fields, name);
}

void refuse_foreign_fields(const Fields& fields, const Refusals& refusals) {
  refusals.attempt([&] { refuse_bias(fields); });
  for (const auto& [name, value] : fields.json().items()) {
    if (contains(own_fields, name) || contains(harmless_peft_fields, name)) continue;
    const std::string& field = name;
    if (field == "init_lora_weights") {
      if (keeps_the_base(value)) continue;
      refusals.attempt(
          [&] { fields.refuse_unsupported(field, R"(only true, false and "gaussian" leave the base as it is)"); });
    } else if (contains(meaningful_peft_fields, field)) {
      if (is_neutral(value)) continue;
      refusals.attempt([&] { fields.refuse_unsupported(field, "this PEFT field changes the result and is not read"); });
    } else {
      refusals.attempt(
          [&] { fields.refuse_unsupported(field, "the field is not known, so whether it changes the result is not"); });
    }
  }
}

void refuse_foreign_expert_fields(const Fields& fields, const Refusals& refusals) {
  refusals.attempt([&] { refuse_bias(fields); });
  for (const auto& [name, value] : fields.json().items()) {
    if (contains(own_expert_fields, name)) continue;
    const std::string& field = name;
    refusals.attempt([&] {
      fields.refuse_unsupported(field,
                                "expert_lora holds r, lora_alpha, lora_dropout, use_rslora, use_dora and lora_init");
    });
  }
}

}  // namespace moxie::adapter
