#include "adapter/adapter_reader.h"

#include <set>
#include <utility>

#include "checkpoint/text.h"
#include "runtime/error.h"

namespace moxie::adapter {
namespace {

using checkpoint::quote;
using checkpoint::TensorEntry;

std::string position_text(int64_t index, const std::vector<int64_t>& shape) {
  if (shape.size() != 2) return "[" + std::to_string(index) + "]";
  return "[" + std::to_string(index / shape[1]) + ", " + std::to_string(index % shape[1]) + "]";
}

}  // namespace

AdapterReader::AdapterReader(const AdapterConfig& config, const checkpoint::TensorSource& tensors,
                             const BaseLinears& base)
    : config_(config), base_(base), reader_(tensors) {}

void AdapterReader::read(Adapter* adapter) {
  refuse_over_experts();
  refuse_without_effect();
  const std::vector<int64_t> layers = layers_to_check();
  adapter->layers.resize(base_.only_layer >= 0 ? 1 : static_cast<size_t>(base_.layer_count));
  for (const int64_t layer : layers) {
    LayerAdapter* kept = nullptr;
    if (is_kept(layer)) kept = &adapter->layers[base_.only_layer >= 0 ? 0 : static_cast<size_t>(layer)];
    read_layer(layer, kept);
  }
  read_classifier();
  reader_.refuse_unused("adapter");
  adapter->parameters = parameters_;
  adapter->dora = dora_;
}

// A bank routes by itself, and has no linears that all rows share.
void AdapterReader::refuse_over_experts() const {
  if (!base_.bank_of_experts) return;
  const std::string reason = "the base (" + base_.family +
                             ") has a bank of experts, over which only attention's linears "
                             "can be adapted";
  if (is_mixlora(config_.kind)) {
    throw unsupported(place() + ": tensor " + quote(layer_prefix(config_.kind, 0) + ".mlp.moe_gate.weight") +
                      " would route the feed-forward of every layer: " + reason);
  }
  for (const std::string& target : config_.targets) {
    if (!is_feed_forward_name(target)) continue;
    throw unsupported(config_.file + ": target_modules names " + quote(target) + ": " + reason);
  }
  for (const TensorEntry& entry : reader_.source().entries()) {
    if (entry.name.find(".mlp.") == std::string::npos && entry.name.find(".block_sparse_moe.") == std::string::npos) {
      continue;
    }
    throw unsupported(place() + ": tensor " + quote(entry.name) + ": " + reason);
  }
}

void AdapterReader::refuse_without_effect() const {
  if (is_mixlora(config_.kind)) return;  // its router is there whatever the targets
  std::string names;
  for (const Linear& linear : linears_of(base_)) {
    if (config_.targets_linear(linear.name)) return;
    names += (names.empty() ? "" : ", ") + std::string(linear.name);
  }
  throw invalid_file(config_.file + ": target_modules names none of the base's linears; expected some of " + names);
}

std::vector<int64_t> AdapterReader::layers_to_check() const {
  std::set<int64_t> layers;
  for (int64_t layer = 0; layer < base_.layer_count; ++layer) layers.insert(layer);
  if (base_.layer_count < 0) {
    for (const TensorEntry& entry : reader_.source().entries()) {
      if (const int64_t layer = layer_of(entry.name, config_.kind); layer >= 0) layers.insert(layer);
    }
  }
  if (base_.only_layer >= 0 && !layers.contains(base_.only_layer)) {
    throw not_found(place() + ": has no layer " + std::to_string(base_.only_layer) + " of " +
                    tensor_root(config_.kind) + "; found " + std::to_string(layers.size()) + " layers");
  }
  return {layers.begin(), layers.end()};
}

bool AdapterReader::covers(const Linear& linear, const BaseLinear& base) const {
  if (!config_.targets_linear(linear.name)) return false;
  // Over a lone feed-forward, attention is only checked, against whatever sizes are known.
  return base.exists() || (linear.attention && base_.only_layer >= 0);
}

void AdapterReader::read_layer(int64_t layer, LayerAdapter* kept) {
  const BaseLayer& base = base_.layer(layer);
  const std::string prefix = layer_prefix(config_.kind, layer);
  if (is_mixlora(config_.kind)) {
    std::vector<float> gate = read_gate(prefix + ".mlp.moe_gate.weight", base_.hidden, kept != nullptr);
    if (kept != nullptr) {
      parameters_ += static_cast<int64_t>(gate.size());
      kept->feed_forward.router = make_router(gate, base_.hidden);
      kept->feed_forward.activation = config_.activation;
    }
  }
  for (const Linear& linear : linears_of(base_)) {
    const BaseLinear& sizes = base.*linear.base;
    if (!covers(linear, sizes)) continue;
    read_linear(prefix + "." + linear.block + "." + linear.name, linear, sizes,
                sizes.weight == nullptr ? nullptr : kept);
  }
}

void AdapterReader::read_linear(const std::string& name, const Linear& linear, const BaseLinear& base,
                                LayerAdapter* kept) {
  const bool plugged_in = config_.plugs_in(linear.attention);
  const bool of_experts = plugged_in || (is_mixlora(config_.kind) && !linear.attention);
  const FactorSettings& settings = of_experts ? config_.experts : config_.plain;
  const bool keep = kept != nullptr;

  const Sizes sizes = sizes_of(linear, base, of_experts ? expert_prefix(name, 0) : name);
  LinearFactors factors;
  factors.where = place() + ": " + name;
  factors.in = sizes.in;
  factors.out = sizes.out;
  factors.rank = settings.rank;
  factors.scaling = static_cast<float>(settings.scaling());
  std::vector<float> gate;
  if (plugged_in) gate = read_gate(name + ".moe_gate.weight", sizes.in, keep);
  const int32_t pairs = of_experts ? config_.expert_count : 1;
  for (int32_t pair = 0; pair < pairs; ++pair) {
    const std::string pair_name = of_experts ? expert_prefix(name, pair) : name;
    Factors read = read_pair(pair_name, settings.rank, sizes, settings.dora, keep);
    if (keep) factors.pairs.push_back(std::move(read));
  }
  if (!keep) return;

  parameters_ += parameters_of(factors) + static_cast<int64_t>(gate.size());
  dora_ = dora_ || settings.dora;
  if (plugged_in) {
    if (int64_t{settings.rank} * pairs > INT32_MAX) {
      throw unsupported(config_.file + ": r times num_experts is " + std::to_string(int64_t{settings.rank} * pairs) +
                        "; expected at most " + std::to_string(INT32_MAX));
    }
    linear.factors(*kept) = pack_plugged_in(factors, make_router(gate, sizes.in));
  } else {
    linear.factors(*kept) = pack_sets(factors, base.weight, base_.norms, MOX_INVALID_FILE);
  }
}

AdapterReader::Sizes AdapterReader::sizes_of(const Linear& linear, const BaseLinear& base,
                                             const std::string& first_pair) const {
  if (base.exists()) return {base.in, base.out};
  // Attention whose heads the base does not know: only the side that meets the hidden states is given.
  require_both(first_pair + ".lora_A.weight", first_pair + ".lora_B.weight");
  const bool output = linear.base == &BaseLayer::o;
  const auto& entries = reader_.source().entries();
  const auto dimension = [&](const std::string& name, size_t index) {
    const TensorEntry& entry = entries[static_cast<size_t>(reader_.source().find(name))];
    return index < entry.shape.size() ? entry.shape[index] : base_.hidden;
  };
  if (output) return {dimension(first_pair + ".lora_A.weight", 1), base_.hidden};
  return {base_.hidden, dimension(first_pair + ".lora_B.weight", 0)};
}

std::vector<float> AdapterReader::read_gate(const std::string& name, int64_t in, bool keep) {
  if (!reader_.has(name)) {
    throw invalid_file(place() + ": tensor " + quote(name) + " is missing; expected a router's gate " +
                       checkpoint::shape_text({config_.expert_count, in}));
  }
  return read_tensor(name, {config_.expert_count, in}, keep);
}

void AdapterReader::require_both(const std::string& a, const std::string& b) const {
  const bool has_a = reader_.has(a);
  const bool has_b = reader_.has(b);
  if (has_a && has_b) return;
  if (has_a || has_b) {
    throw invalid_file(place() + ": tensor " + quote(has_a ? a : b) + " stands without its other half; expected " +
                       quote(has_a ? b : a) + " beside it");
  }
  throw invalid_file(place() + ": tensor " + quote(a) +
                     " is missing; expected it because target_modules names its "
                     "linear");
}

Factors AdapterReader::read_pair(const std::string& name, int64_t rank, Sizes sizes, bool dora, bool keep) {
  const std::string a = name + ".lora_A.weight";
  const std::string b = name + ".lora_B.weight";
  const std::string magnitude = name + ".lora_magnitude_vector";
  require_both(a, b);
  Factors factors;
  factors.a = read_tensor(a, {rank, sizes.in}, keep);
  factors.b = read_tensor(b, {sizes.out, rank}, keep);
  if (!reader_.has(magnitude)) return factors;
  if (!dora) {
    throw invalid_file(place() + ": tensor " + quote(magnitude) + " is DoRA's; expected none, because use_dora is " +
                       (config_.plain.dora ? "without effect on these factors" : "false"));
  }
  factors.magnitude = read_tensor(magnitude, {sizes.out}, keep);
  return factors;
}

std::vector<float> AdapterReader::read_tensor(const std::string& name, const std::vector<int64_t>& shape, bool keep) {
  if (!keep) {
    const TensorEntry& entry = reader_.require(name, shape);
    if (!checkpoint::is_weight_dtype(entry.dtype)) {
      throw unsupported(place() + ": tensor " + quote(name) + " is " + entry.describe() +
                        "; expected float32, bfloat16 or float16");
    }
    return {};
  }
  std::vector<float> values = reader_.read_float32(name, shape);
  if (const int64_t index = find_non_finite(values); index >= 0) {
    throw invalid_file(place() + ": tensor " + quote(name) + " holds " +
                       std::to_string(values[static_cast<size_t>(index)]) + " at " + position_text(index, shape) +
                       "; expected finite values");
  }
  return values;
}

// The head that replaces a language model's: nothing here is asked to classify, but the tensor belongs to the adapter.
void AdapterReader::read_classifier() {
  if (!config_.classifies) return;
  const int64_t index = reader_.source().find("classifier");
  if (index < 0) return;
  const TensorEntry& entry = reader_.source().entries()[static_cast<size_t>(index)];
  const int64_t classes = entry.shape.empty() ? 0 : entry.shape[0];
  if (classes < 1) {
    throw invalid_file(place() + ": tensor \"classifier\" is " + entry.describe() + "; expected [classes, " +
                       std::to_string(base_.hidden) + "]");
  }
  read_tensor("classifier", {classes, base_.hidden}, false);
}

Router AdapterReader::make_router(const std::vector<float>& gate, int64_t in) const {
  Router router;
  router.kind = router_kind_of(config_.kind);
  router.experts = config_.expert_count;
  router.top_k = config_.top_k;
  router.top_p = static_cast<float>(config_.top_p);
  router.temperature = static_cast<float>(config_.temperature);
  router.capacity = config_.capacity;
  router.in = in;
  router.set_gate(gate);
  return router;
}

}  // namespace moxie::adapter
