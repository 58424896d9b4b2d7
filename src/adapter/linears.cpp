#include "adapter/linears.h"

#include <algorithm>
#include <array>
#include <charconv>

namespace moxie::adapter {
namespace {

constexpr Linear attention(const char* name, BaseLinear BaseLayer::*base,
                           std::optional<LoraSets> AttentionAdapter::*factors) {
  return {"self_attn", name, true, base, factors, nullptr};
}

constexpr Linear feed_forward(const char* name, BaseLinear BaseLayer::*base,
                              std::optional<LoraSets> FeedForwardAdapter::*factors) {
  return {"mlp", name, false, base, nullptr, factors};
}

constexpr std::array gated_linears = {
    attention("q_proj", &BaseLayer::q, &AttentionAdapter::q),
    attention("k_proj", &BaseLayer::k, &AttentionAdapter::k),
    attention("v_proj", &BaseLayer::v, &AttentionAdapter::v),
    attention("o_proj", &BaseLayer::o, &AttentionAdapter::o),
    feed_forward("gate_proj", &BaseLayer::gate, &FeedForwardAdapter::gate),
    feed_forward("up_proj", &BaseLayer::up, &FeedForwardAdapter::up),
    feed_forward("down_proj", &BaseLayer::down, &FeedForwardAdapter::down),
};

constexpr std::array plain_linears = {
    attention("q_proj", &BaseLayer::q, &AttentionAdapter::q),
    attention("k_proj", &BaseLayer::k, &AttentionAdapter::k),
    attention("v_proj", &BaseLayer::v, &AttentionAdapter::v),
    attention("dense", &BaseLayer::o, &AttentionAdapter::o),
    feed_forward("fc1", &BaseLayer::gate, &FeedForwardAdapter::gate),
    feed_forward("fc2", &BaseLayer::down, &FeedForwardAdapter::down),
};

}  // namespace

std::span<const Linear> linears_of(const BaseLinears& base) {
  if (base.gated) return gated_linears;
  return plain_linears;
}

bool is_feed_forward_name(std::string_view name) {
  constexpr std::array<std::string_view, 11> names = {"gate_proj", "up_proj",       "down_proj",    "gate_up_proj",
                                                      "fc1",       "fc2",           "w1",           "w2",
                                                      "w3",        "dense_h_to_4h", "dense_4h_to_h"};
  return std::find(names.begin(), names.end(), name) != names.end();
}

std::string tensor_root(mox_adapter_kind kind) {
  if (kind == MOX_ADAPTER_LORA) return "base_model.model.model";
  return is_mixlora(kind) ? "mixlora" : kind_name(kind);
}

std::string layer_prefix(mox_adapter_kind kind, int64_t layer) {
  return tensor_root(kind) + ".layers." + std::to_string(layer);
}

std::string expert_prefix(const std::string& linear, int64_t expert) {
  return linear + ".experts." + std::to_string(expert);
}

int64_t layer_of(std::string_view name, mox_adapter_kind kind) {
  const std::string root = tensor_root(kind) + ".layers.";
  if (!name.starts_with(root)) return -1;
  name.remove_prefix(root.size());
  int32_t layer = -1;
  const auto [end, failure] = std::from_chars(name.data(), name.data() + name.size(), layer);
  const bool whole = failure == std::errc() && end != name.data() + name.size() && *end == '.' && layer >= 0;
  // Written otherwise ("007", "-0"), the index names no tensor this library would ask for.
  const auto digits = static_cast<size_t>(end - name.data());
  return whole && std::to_string(layer).size() == digits ? layer : -1;
}

}  // namespace moxie::adapter
