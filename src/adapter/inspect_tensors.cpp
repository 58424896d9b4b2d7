#include "adapter/inspect_tensors.h"

#include <algorithm>
#include <charconv>
#include <map>
#include <optional>
#include <set>
#include <string_view>

#include "adapter/linears.h"
#include "checkpoint/text.h"
#include "runtime/error.h"

namespace moxie::adapter {
namespace {

using checkpoint::quote;
using checkpoint::TensorEntry;

enum class Role { a, b, magnitude, gate };

// A tensor's name taken apart: ROOT.layers.N.BLOCK[.PROJ][.experts.E].ROLE
struct Name {
  int64_t layer = 0;
  std::string linear;  // "mlp.gate_proj"; "mlp" of MixLoRA's gate
  std::string proj;    // "gate_proj"; ""
  bool attention = false;
  int64_t expert = -1;  // -1: not of an expert
  Role role = Role::a;
};

bool take_suffix(std::string_view* text, std::string_view suffix) {
  if (!text->ends_with(suffix)) return false;
  text->remove_suffix(suffix.size());
  return true;
}

std::optional<Role> take_role(std::string_view* text) {
  if (take_suffix(text, ".lora_A.weight")) return Role::a;
  if (take_suffix(text, ".lora_B.weight")) return Role::b;
  if (take_suffix(text, ".lora_magnitude_vector")) return Role::magnitude;
  if (take_suffix(text, ".moe_gate.weight")) return Role::gate;
  return std::nullopt;
}

// "experts.E" at the end: the expert. -1 where there is none; -2 where it is not a number as this library writes it.
int64_t take_expert(std::string_view* text) {
  constexpr std::string_view mark = ".experts.";
  const size_t position = text->rfind(mark);
  if (position == std::string_view::npos) return -1;
  const std::string_view digits = text->substr(position + mark.size());
  int32_t expert = -1;
  const auto [end, failure] = std::from_chars(digits.data(), digits.data() + digits.size(), expert);
  if (failure != std::errc() || expert < 0 || std::to_string(expert) != digits) return -2;
  text->remove_suffix(text->size() - position);
  return expert;
}

std::optional<Name> take_apart(std::string_view text, mox_adapter_kind kind) {
  Name name;
  name.layer = layer_of(text, kind);
  if (name.layer < 0) return std::nullopt;
  text.remove_prefix(layer_prefix(kind, name.layer).size() + 1);
  const auto role = take_role(&text);
  if (!role) return std::nullopt;
  name.role = *role;
  name.expert = take_expert(&text);
  if (name.expert == -2) return std::nullopt;
  name.linear = text;
  if (text == "mlp") return name;
  name.attention = text.starts_with("self_attn.");
  if (!name.attention && !text.starts_with("mlp.")) return std::nullopt;
  text.remove_prefix(text.find('.') + 1);
  if (text.empty() || text.find('.') != std::string_view::npos) return std::nullopt;
  name.proj = text;
  return name;
}

class Inspection {
 public:
  Inspection(const AdapterConfig& config, const checkpoint::TensorSource& tensors, std::vector<std::string>* problems)
      : config_(config), tensors_(tensors), problems_(problems) {}

  void run() {
    for (const TensorEntry& entry : tensors_.entries()) inspect(entry);
    for (const auto& [layer, linears] : linears_of_layer_) {
      for (const std::string& linear : all_linears_) {
        if (!linears.contains(linear)) missing(linear_name(layer, linear), "other layers have factors there");
      }
      if (is_mixlora(config_.kind)) require_gate(layer_prefix(config_.kind, layer) + ".mlp");
      for (const std::string& linear : linears) inspect_linear(linear_name(layer, linear), linear);
    }
    inspect_targets();
  }

 private:
  void say(const std::string& problem) { problems_->push_back(tensors_.path() + ": " + problem); }
  void missing(const std::string& name, const std::string& why) {
    say("tensor " + quote(name) + " is missing; " + why);
  }
  [[nodiscard]] std::string linear_name(int64_t layer, const std::string& linear) const {
    return layer_prefix(config_.kind, layer) + "." + linear;
  }

  // Names a base does not have are ignored, so only an adapter whose linears are those of a gated decoder can be said
  // to lack one of them.
  void inspect_targets() {
    const auto gated = linears_of(BaseLinears{});
    std::set<std::string> known;
    for (const Linear& linear : gated) known.insert(std::string(linear.block) + "." + linear.name);
    if (all_linears_.empty() || !std::includes(known.begin(), known.end(), all_linears_.begin(), all_linears_.end())) {
      return;
    }
    for (const Linear& linear : gated) {
      if (!config_.targets_linear(linear.name)) continue;
      if (all_linears_.contains(std::string(linear.block) + "." + linear.name)) continue;
      say("has no tensors for " + quote(linear.name) + ", which target_modules names");
    }
  }

  void inspect(const TensorEntry& entry) {
    if (entry.name == "classifier" && config_.classifies) return;
    if (!checkpoint::is_weight_dtype(entry.dtype)) {
      say("tensor " + quote(entry.name) + " is " + entry.describe() + "; expected float32, bfloat16 or float16");
    }
    const auto name = take_apart(entry.name, config_.kind);
    if (!name || !is_expected(*name)) {
      say("a " + std::string(kind_name(config_.kind)) + " adapter has no use for tensor " + quote(entry.name));
      return;
    }
    linears_of_layer_[name->layer];
    if (name->proj.empty()) return;
    linears_of_layer_[name->layer].insert(name->linear);
    all_linears_.insert(name->linear);
  }

  [[nodiscard]] bool has_experts(bool attention) const {
    return config_.plugs_in(attention) || (is_mixlora(config_.kind) && !attention);
  }

  [[nodiscard]] bool is_expected(const Name& name) const {
    if (name.proj.empty()) return is_mixlora(config_.kind) && name.role == Role::gate && name.expert < 0;
    if (!config_.targets_linear(name.proj)) return false;
    if (name.role == Role::gate) return config_.plugs_in(name.attention) && name.expert < 0;
    if (!has_experts(name.attention)) {
      return name.expert < 0 && (name.role != Role::magnitude || config_.plain.dora);
    }
    return name.expert >= 0 && name.expert < config_.expert_count &&
           (name.role != Role::magnitude || config_.experts.dora);
  }

  void inspect_linear(const std::string& name, const std::string& linear) {
    const bool attention = linear.starts_with("self_attn.");
    const bool experts = has_experts(attention);
    if (config_.plugs_in(attention)) require_gate(name);
    const int32_t rank = experts ? config_.experts.rank : config_.plain.rank;
    const int32_t pairs = experts ? config_.expert_count : 1;
    for (int32_t pair = 0; pair < pairs; ++pair) {
      const std::string of_pair = experts ? expert_prefix(name, pair) : name;
      const std::string a = of_pair + ".lora_A.weight";
      const std::string b = of_pair + ".lora_B.weight";
      const TensorEntry* entry_a = find(a);
      const TensorEntry* entry_b = find(b);
      if (entry_a == nullptr && entry_b == nullptr) {
        missing(a, "expected " + std::to_string(pairs) + " pairs of factors");
        return;  // a hostile number of experts must not become as many problems
      }
      if (entry_a == nullptr || entry_b == nullptr) {
        say("tensor " + quote(entry_a != nullptr ? a : b) + " stands without its other half; expected " +
            quote(entry_a != nullptr ? b : a) + " beside it");
        continue;
      }
      require_dimension(*entry_a, 0, rank, "r");
      require_dimension(*entry_b, 1, rank, "r");
    }
  }

  void require_gate(const std::string& of) {
    const std::string name = of + ".moe_gate.weight";
    if (const TensorEntry* gate = find(name)) {
      require_dimension(*gate, 0, config_.expert_count, "num_experts");
    } else {
      missing(name, "expected a router's gate");
    }
  }

  void require_dimension(const TensorEntry& entry, size_t index, int64_t expected, const std::string& field) {
    if (expected == 0 || (entry.shape.size() == 2 && entry.shape[index] == expected)) return;
    const std::string size = std::to_string(expected);
    say("tensor " + quote(entry.name) + " is " + checkpoint::shape_text(entry.shape) + "; expected " +
        (index == 0 ? "[" + size + ", ...]" : "[..., " + size + "]") + ", because " + field + " is " + size);
  }

  [[nodiscard]] const TensorEntry* find(const std::string& name) const {
    const int64_t index = tensors_.find(name);
    return index < 0 ? nullptr : &tensors_.entries()[static_cast<size_t>(index)];
  }

  const AdapterConfig& config_;
  const checkpoint::TensorSource& tensors_;
  std::vector<std::string>* problems_;
  std::map<int64_t, std::set<std::string>> linears_of_layer_;
  std::set<std::string> all_linears_;
};

}  // namespace

void inspect_tensors(const AdapterConfig& config, const checkpoint::TensorSource& tensors,
                     std::vector<std::string>* problems) {
  Inspection(config, tensors, problems).run();
}

int64_t count_layers(const AdapterConfig& config, const checkpoint::TensorSource& tensors) {
  std::set<int64_t> layers;
  for (const TensorEntry& entry : tensors.entries()) {
    if (const int64_t layer = layer_of(entry.name, config.kind); layer >= 0) layers.insert(layer);
  }
  return static_cast<int64_t>(layers.size());
}

}  // namespace moxie::adapter
