#include "adapter/adapter_config.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>
#include <utility>

#include "adapter/adapter.h"
#include "adapter/foreign_fields.h"
#include "adapter/refusals.h"
#include "checkpoint/file_access.h"
#include "checkpoint/text.h"

namespace moxie::adapter {
namespace {

using checkpoint::Fields;
using checkpoint::Json;

constexpr int64_t most = std::numeric_limits<int32_t>::max();
constexpr const char* mixlora_strategies = "\"mixlora\", \"mixlora-dynamic\" or \"mixlora-switch\"";

std::optional<mox_adapter_kind> kind_of_strategy(const std::string& strategy) {
  for (const auto kind : {MOX_ADAPTER_MIXLORA, MOX_ADAPTER_MIXLORA_DYNAMIC, MOX_ADAPTER_MIXLORA_SWITCH,
                          MOX_ADAPTER_LORAMOE, MOX_ADAPTER_MOLA}) {
    if (strategy == kind_name(kind)) return kind;
  }
  return std::nullopt;
}

// peft_type where it is one of MoE-PEFT's, else routing_strategy, else plain LoRA.
mox_adapter_kind read_kind(const Fields& fields) {
  const std::string type = fields.string("peft_type").value_or("");
  const std::string strategy = fields.string("routing_strategy").value_or("");
  const auto routed = kind_of_strategy(strategy);
  if (!strategy.empty() && !routed) {
    fields.refuse_unsupported("routing_strategy",
                              std::string("expected ") + mixlora_strategies + ", \"loramoe\" or \"mola\"");
  }
  if (type == "LORA") return MOX_ADAPTER_LORA;
  if (type == "LORAMOE") return MOX_ADAPTER_LORAMOE;
  if (type == "MOLA") return MOX_ADAPTER_MOLA;
  if (type == "MIXLORA") {
    if (!routed || !is_mixlora(*routed)) fields.refuse("routing_strategy", std::string(mixlora_strategies));
    return *routed;
  }
  if (routed) return *routed;
  // What the reference would take for plain LoRA, whatever it is.
  if (!type.empty()) {
    fields.refuse_unsupported("peft_type", R"(expected "LORA", "MIXLORA", "LORAMOE" or "MOLA")");
  }
  return MOX_ADAPTER_LORA;
}

// Settings reach the kernels in float32: what overflows or vanishes there would silently mean something else.
double require_float32(const Fields& fields, const std::string& name, double value, const std::string& expected) {
  const auto narrow = static_cast<float>(value);
  if (!std::isfinite(narrow) || (value != 0 && !std::isnormal(narrow))) fields.refuse(name, expected);
  return value;
}

double positive_number(const Fields& fields, const std::string& name, double value) {
  const char* expected = "a finite number > 0";
  if (!(value > 0)) fields.refuse(name, expected);
  return require_float32(fields, name, value, expected);
}

double number_from_zero(const Fields& fields, const std::string& name, double fallback) {
  const auto value = fields.number(name);
  if (!value) return fallback;
  const char* expected = "a finite number >= 0";
  if (*value < 0) fields.refuse(name, expected);
  return require_float32(fields, name, *value, expected);
}

// required: r and lora_alpha have nothing to fall back on.
void read_factor_settings(const Fields& fields, const Refusals& refusals, bool required, FactorSettings* settings) {
  refusals.attempt([&] {
    if (required || fields.has("r")) settings->rank = static_cast<int32_t>(fields.require_integer("r", 1, most));
  });
  refusals.attempt([&] {
    if (required || fields.has("lora_alpha")) {
      settings->alpha = positive_number(fields, "lora_alpha", fields.require_number("lora_alpha"));
    }
  });
  refusals.attempt([&] { settings->rslora = fields.boolean("use_rslora").value_or(settings->rslora); });
  refusals.attempt([&] { settings->dora = fields.boolean("use_dora").value_or(settings->dora); });
  const auto narrow = static_cast<float>(settings->scaling());
  if (settings->rank > 0 && settings->alpha > 0 && !std::isnormal(narrow)) {
    refusals.attempt([&] { fields.refuse("lora_alpha", "a number that makes a scaling float32 can hold"); });
  }
}

void read_targets(const Fields& fields, AdapterConfig* config) {
  const char* expected = "a list of names, or an object of names with true or false";
  const Json* value = fields.value("target_modules");
  if (value == nullptr) fields.refuse("target_modules", expected);
  if (value->is_string()) {
    fields.refuse_unsupported("target_modules", std::string("patterns are not read; expected ") + expected);
  }
  if (!value->is_array() && !value->is_object()) fields.refuse("target_modules", expected);
  if (value->is_array()) {
    for (const Json& name : *value) {
      if (!name.is_string()) fields.refuse("target_modules", expected);
      config->targets.push_back(name.get<std::string>());
    }
  } else {
    for (const auto& [name, on] : value->items()) {
      if (!on.is_boolean()) fields.refuse("target_modules", expected);
      if (on.get<bool>()) config->targets.push_back(name);
    }
  }
  std::sort(config->targets.begin(), config->targets.end());
  config->targets.erase(std::unique(config->targets.begin(), config->targets.end()), config->targets.end());
}

void read_activation(const Fields& fields, AdapterConfig* config) {
  const auto name = fields.string("act_fn");
  if (!name) return;
  config->activation_name = *name;
  if (*name == "silu" || *name == "swish") {
    config->activation = MOX_ACTIVATION_SILU;
  } else if (*name == "gelu") {
    config->activation = MOX_ACTIVATION_GELU;
  } else if (*name == "gelu_new" || *name == "gelu_pytorch_tanh") {
    config->activation = MOX_ACTIVATION_GELU_TANH;
  } else if (*name == "relu") {
    config->activation = MOX_ACTIVATION_RELU;
  } else {
    fields.refuse_unsupported("act_fn", "expected silu, swish, gelu, gelu_new, gelu_pytorch_tanh or relu");
  }
}

void read_routing(const Fields& fields, const Refusals& refusals, AdapterConfig* config) {
  const mox_adapter_kind kind = config->kind;
  refusals.attempt(
      [&] { config->expert_count = static_cast<int32_t>(fields.require_integer("num_experts", 1, most)); });
  if (kind == MOX_ADAPTER_MIXLORA || kind == MOX_ADAPTER_MOLA) {
    refusals.attempt([&] {
      const int64_t experts = config->expert_count > 0 ? config->expert_count : most;
      const auto top_k = fields.integer("top_k", 1, experts);
      if (!top_k && experts < 2) fields.refuse("top_k", "1, the number of experts; where it is absent it is 2");
      config->top_k = static_cast<int32_t>(top_k.value_or(2));
    });
  }
  if (kind == MOX_ADAPTER_MIXLORA_DYNAMIC) {
    refusals.attempt([&] {
      config->top_p = positive_number(fields, "top_p", fields.number("top_p").value_or(0.8));
      if (config->top_p > 1) fields.refuse("top_p", "a number > 0 and <= 1");
    });
    refusals.attempt([&] { config->temperature = number_from_zero(fields, "temperature", 0.0); });
  }
  if (kind == MOX_ADAPTER_MIXLORA_SWITCH) {
    refusals.attempt([&] { config->capacity = fields.integer("expert_capacity", 1, most).value_or(32); });
  }
}

void read_router_loss(const Fields& fields, const Refusals& refusals, AdapterConfig* config) {
  if (!is_mixlora(config->kind) && config->kind != MOX_ADAPTER_MOLA) return;
  refusals.attempt([&] { config->router_loss = fields.boolean("router_loss").value_or(is_mixlora(config->kind)); });
  refusals.attempt([&] { config->balance_coefficient = number_from_zero(fields, "router_aux_loss_coef", 0.001); });
  if (config->kind == MOX_ADAPTER_MIXLORA_SWITCH) {
    refusals.attempt([&] { config->z_coefficient = number_from_zero(fields, "router_z_loss_coef", 0.001); });
  }
}

void read_expert_settings(const Fields& fields, const Refusals& refusals, AdapterConfig* config) {
  config->experts = config->plain;
  if (!is_mixlora(config->kind)) {
    if (config->kind != MOX_ADAPTER_LORA) config->experts.dora = false;
    if (fields.has("expert_lora")) {
      refusals.attempt([&] {
        fields.refuse_unsupported("expert_lora",
                                  std::string("only MixLoRA has it, and this is ") + kind_name(config->kind));
      });
    }
    return;
  }
  refusals.attempt([&] {
    const auto inner = fields.object("expert_lora");
    if (!inner) return;
    config->expert_lora = true;
    read_factor_settings(*inner, refusals, false, &config->experts);
    refuse_foreign_expert_fields(*inner, refusals);
  });
  refusals.attempt([&] { read_activation(fields, config); });
}

AdapterConfig parse(const Fields& fields, const Refusals& refusals) {
  AdapterConfig config;
  config.file = fields.file();
  refusals.attempt([&] {
    config.kind = read_kind(fields);
    config.kind_known = true;
  });
  refuse_foreign_fields(fields, refusals);
  read_factor_settings(fields, refusals, true, &config.plain);
  read_expert_settings(fields, refusals, &config);
  refusals.attempt([&] { read_targets(fields, &config); });
  if (config.kind != MOX_ADAPTER_LORA) read_routing(fields, refusals, &config);
  read_router_loss(fields, refusals, &config);
  refusals.attempt([&] { config.classifies = fields.string("task_type") == "SEQ_CLS"; });
  refusals.attempt([&] { config.base_name = fields.string("base_model_name_or_path").value_or(""); });
  return config;
}

std::string config_path(const std::string& folder) { return checkpoint::join_path(folder, "adapter_config.json"); }

Json read_config(const std::string& folder) {
  checkpoint::resolve_inside(folder, "adapter_config.json");  // refuses a link out of the folder
  return checkpoint::read_json_object(config_path(folder));
}

std::string peft_refusal(const std::string& folder, const std::string& sign) {
  return config_path(folder) + ": " + sign +
         " shows that PEFT wrote it; PEFT's adapters are not read yet, only MoE-PEFT's";
}

// What shows that PEFT itself wrote the adapter, or "".
std::string sign_of_peft(const std::string& folder, const Json& config) {
  if (const auto version = config.find("peft_version"); version != config.end() && !version->is_null()) {
    return "peft_version " + checkpoint::show(*version);
  }
  const auto type = config.find("peft_type");
  const bool plain = (type == config.end() || *type == "LORA") && config.find("routing_strategy") == config.end();
  if (!plain || !checkpoint::is_present(checkpoint::join_path(folder, "adapter_model.safetensors"))) return {};
  for (const auto& [name, value] : config.items()) {
    if (is_peft_field(name)) return "the field " + name + " beside adapter_model.safetensors";
  }
  return {};
}

bool is_mistral(const std::string& folder) {
  return !checkpoint::is_present(config_path(folder)) &&
         checkpoint::is_present(checkpoint::join_path(folder, "lora.safetensors"));
}

void refuse_mistral(const std::string& folder) {
  if (!is_mistral(folder)) return;
  throw unsupported(checkpoint::join_path(folder, "lora.safetensors") +
                    ": mistral's LoRA files are not read yet, only MoE-PEFT's adapter_config.json with "
                    "adapter_model.bin or adapter_model.safetensors");
}

}  // namespace

double FactorSettings::scaling() const { return alpha / (rslora ? std::sqrt(static_cast<double>(rank)) : rank); }

bool AdapterConfig::targets_linear(std::string_view name) const {
  return std::binary_search(targets.begin(), targets.end(), name);
}

bool AdapterConfig::plugs_in(bool attention) const {
  return kind == MOX_ADAPTER_MOLA || (kind == MOX_ADAPTER_LORAMOE && !attention);
}

std::string adapter_format(const std::string& folder) {
  if (is_mistral(folder)) return "mistral";
  try {
    const Json config = read_config(folder);
    if (!sign_of_peft(folder, config).empty()) return "PEFT";
  } catch (const Error&) {
    // A configuration that cannot be read is nobody's in particular.
  }
  return "MoE-PEFT";
}

AdapterConfig read_adapter_config(const std::string& folder) {
  checkpoint::require_folder(folder);
  refuse_mistral(folder);
  const Json config = read_config(folder);
  if (const std::string sign = sign_of_peft(folder, config); !sign.empty()) {
    throw unsupported(peft_refusal(folder, sign));
  }
  return parse(Fields(config, config_path(folder)), Refusals());
}

AdapterConfig inspect_adapter_config(const std::string& folder, std::vector<std::string>* problems) {
  const Refusals refusals(problems);
  AdapterConfig result;
  refusals.attempt([&] {
    checkpoint::require_folder(folder);
    refuse_mistral(folder);
    const Json config = read_config(folder);
    const std::string sign = sign_of_peft(folder, config);
    std::vector<std::string> aside;  // PEFT's own refusal comes before anything in its fields
    result = parse(Fields(config, config_path(folder)), sign.empty() ? refusals : Refusals(&aside));
    if (!sign.empty()) throw unsupported(peft_refusal(folder, sign));
  });
  return result;
}

}  // namespace moxie::adapter
