#include "adapter/describe_adapter.h"

#include <charconv>

#include "adapter/adapter.h"
#include "adapter/adapter_config.h"
#include "adapter/inspect_tensors.h"
#include "checkpoint/json.h"
#include "checkpoint/text.h"
#include "runtime/error.h"

namespace moxie::adapter {
namespace {

using Settings = std::vector<std::pair<std::string, std::string>>;

constexpr size_t most_problems = 50;

// The shortest text that reads back as the same number.
std::string number_text(double value) {
  char text[32];
  const auto end = std::to_chars(text, text + sizeof(text), value).ptr;
  return {text, end};
}

// Text out of a file, safe for a terminal.
std::string printable(const std::string& text) {
  const std::string quoted = checkpoint::quote(text);
  return quoted.substr(1, quoted.size() - 2);
}

std::string yes_or_no(bool value) { return value ? "yes" : "no"; }

void add_factor_settings(const std::string& prefix, const FactorSettings& factors, Settings* settings) {
  settings->emplace_back(prefix + "rank", std::to_string(factors.rank));
  settings->emplace_back(prefix + "alpha", number_text(factors.alpha));
  if (factors.rank > 0) settings->emplace_back(prefix + "scaling", number_text(factors.scaling()));
  settings->emplace_back(prefix + "rslora", yes_or_no(factors.rslora));
  settings->emplace_back(prefix + "dora", yes_or_no(factors.dora));
}

void add_routing(const AdapterConfig& config, Settings* settings) {
  settings->emplace_back("experts", std::to_string(config.expert_count));
  if (config.top_k > 0) settings->emplace_back("top-k", std::to_string(config.top_k));
  if (config.kind == MOX_ADAPTER_MIXLORA_DYNAMIC) {
    settings->emplace_back("top-p", number_text(config.top_p));
    settings->emplace_back("temperature", number_text(config.temperature));
  }
  if (config.kind == MOX_ADAPTER_MIXLORA_SWITCH) settings->emplace_back("capacity", std::to_string(config.capacity));
  if (is_mixlora(config.kind)) {
    settings->emplace_back("activation",
                           config.activation_name.empty() ? "the base's" : printable(config.activation_name));
  }
  if (config.expert_lora) add_factor_settings("expert ", config.experts, settings);
  if (config.kind != MOX_ADAPTER_LORAMOE) settings->emplace_back("router loss", yes_or_no(config.router_loss));
  if (config.router_loss) {
    settings->emplace_back("balance coefficient", number_text(config.balance_coefficient));
    if (config.kind == MOX_ADAPTER_MIXLORA_SWITCH) {
      settings->emplace_back("z coefficient", number_text(config.z_coefficient));
    }
  }
}

Settings settings_of(const AdapterConfig& config) {
  Settings settings;
  add_factor_settings("", config.plain, &settings);
  std::string targets;
  for (const std::string& target : config.targets) targets += (targets.empty() ? "" : ", ") + printable(target);
  settings.emplace_back("targets", targets);
  if (config.kind != MOX_ADAPTER_LORA) add_routing(config, &settings);
  if (config.classifies) settings.emplace_back("task", "sequence classification");
  if (!config.base_name.empty()) settings.emplace_back("base", printable(config.base_name));
  return settings;
}

// mistral keeps what there is to say in params.json beside the factors; the file is optional.
Settings mistral_settings(const std::string& folder) {
  Settings settings;
  const std::string path = checkpoint::join_path(folder, "params.json");
  const checkpoint::Json params = checkpoint::read_json_object(path);
  const auto lora = checkpoint::Fields(params, path).object("lora");
  if (!lora) return settings;
  for (const char* name : {"rank", "scaling"}) {
    if (const auto* value = lora->value(name)) settings.emplace_back(name, checkpoint::show(*value));
  }
  return settings;
}

void cut(std::vector<std::string>* problems) {
  if (problems->size() <= most_problems) return;
  const size_t more = problems->size() - most_problems;
  problems->resize(most_problems);
  problems->push_back("and " + std::to_string(more) + " more problems");
}

}  // namespace

AdapterDescription describe_adapter(const std::string& folder, const checkpoint::TensorSource* tensors) {
  AdapterDescription description;
  description.format = adapter_format(folder);
  const AdapterConfig config = inspect_adapter_config(folder, &description.problems);
  if (description.format == "mistral") {
    description.kind = kind_name(MOX_ADAPTER_LORA);
    try {
      description.settings = mistral_settings(folder);
    } catch (const Error&) {
      // Without a readable params.json the settings are not known; the format itself is the problem already reported.
    }
    return description;
  }
  if (config.file.empty()) return description;  // no configuration
  const bool of_moe_peft = description.format == "MoE-PEFT";
  if (config.kind_known) {
    description.kind = kind_name(config.kind);
    if (tensors != nullptr && of_moe_peft) inspect_tensors(config, *tensors, &description.problems);
  }
  description.settings = settings_of(config);
  if (config.kind_known && tensors != nullptr) {
    description.settings.emplace_back("layers", std::to_string(count_layers(config, *tensors)));
  }
  cut(&description.problems);
  return description;
}

}  // namespace moxie::adapter
