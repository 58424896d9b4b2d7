// The linears an adapter can lie over: their names in the files, the base's sizes, where the factors go.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "adapter/adapter.h"
#include "adapter/base_linears.h"

namespace moxie::adapter {

struct Linear {
  const char* block;  // "self_attn" or "mlp"
  const char* name;   // "q_proj"
  bool attention;
  BaseLinear BaseLayer::*base;
  std::optional<LoraSets> AttentionAdapter::*attention_factors;       // attention
  std::optional<LoraSets> FeedForwardAdapter::*feed_forward_factors;  // else

  [[nodiscard]] std::optional<LoraSets>& factors(LayerAdapter& layer) const {
    return attention ? layer.attention.*attention_factors : layer.feed_forward.*feed_forward_factors;
  }
};

// Those of a gated decoder (Llama, Mistral), or of a plain one (Phi).
std::span<const Linear> linears_of(const BaseLinears& base);

// A linear of a feed-forward under any of the names model families give it.
bool is_feed_forward_name(std::string_view name);

// What every tensor's name of that kind of adapter begins with: "mixlora", "base_model.model.model", ...
std::string tensor_root(mox_adapter_kind kind);

std::string layer_prefix(mox_adapter_kind kind, int64_t layer);  // "mixlora.layers.3"
std::string expert_prefix(const std::string& linear, int64_t expert);

// The layer of a tensor's name; -1 where it is of another kind of adapter, or not in a layer.
int64_t layer_of(std::string_view name, mox_adapter_kind kind);

}  // namespace moxie::adapter
