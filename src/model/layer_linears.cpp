#include "model/layer_linears.h"

#include <algorithm>
#include <utility>

#include "runtime/error.h"

namespace moxie::model {

using checkpoint::Architecture;
using checkpoint::tensor_name;
using checkpoint::TensorNames;

std::vector<std::string> feed_forward_linears(const Architecture& architecture, int64_t layer) {
  const TensorNames& names = architecture.names;
  std::vector<std::string> result;
  if (architecture.experts == 0) {
    for (const std::string* pattern : {&names.gate, &names.up, &names.down}) {
      if (!pattern->empty()) result.push_back(tensor_name(*pattern, layer));
    }
  }
  for (int64_t e = 0; e < architecture.experts; ++e) {
    for (const std::string* pattern : {&names.expert_gate, &names.expert_up, &names.expert_down}) {
      result.push_back(tensor_name(*pattern, layer, e));
    }
  }
  return result;
}

std::vector<std::string> attention_linears(const Architecture& architecture, int64_t layer) {
  const TensorNames& names = architecture.names;
  return {tensor_name(names.q, layer), tensor_name(names.k, layer), tensor_name(names.v, layer),
          tensor_name(names.o, layer)};
}

void add_feed_forward(WeightsLoader* loader, int64_t layer, moe::FeedForward* feed_forward) {
  const Architecture& a = loader->architecture();
  const TensorNames& names = a.names;
  feed_forward->hidden = a.hidden;
  feed_forward->ffn = a.ffn;
  feed_forward->activation = a.activation;
  const bool bank = a.experts > 0;
  const std::string& up = bank ? names.expert_up : names.up;
  feed_forward->gated = !up.empty();
  feed_forward->experts.resize(static_cast<size_t>(std::max(a.experts, 1)));
  for (size_t e = 0; e < feed_forward->experts.size(); ++e) {
    moe::Expert& expert = feed_forward->experts[e];
    auto name = [&](const std::string& pattern) { return tensor_name(pattern, layer, static_cast<int64_t>(e)); };
    const bool bias = a.feed_forward_bias;
    loader->add_linear(name(bank ? names.expert_gate : names.gate), a.ffn, a.hidden, bias, &expert.gate);
    if (feed_forward->gated) loader->add_linear(name(up), a.ffn, a.hidden, bias, &expert.up);
    loader->add_linear(name(bank ? names.expert_down : names.down), a.hidden, a.ffn, bias, &expert.down);
  }
  if (!bank) return;
  adapter::Router router;
  router.kind = MOX_ROUTER_TOP_K;
  router.experts = a.experts;
  router.top_k = a.top_k;
  router.in = a.hidden;
  router.set_gate(loader->matrix_float32(tensor_name(names.router, layer), a.experts, a.hidden));
  feed_forward->router = std::move(router);
}

void add_block(WeightsLoader* loader, int64_t layer, transformer::Block* block) {
  const Architecture& a = loader->architecture();
  const TensorNames& names = a.names;
  const int64_t query = static_cast<int64_t>(a.heads) * a.head_dim;
  const int64_t cache = static_cast<int64_t>(a.kv_heads) * a.head_dim;
  block->attention_norm = loader->vector(tensor_name(names.attention_norm, layer), a.hidden);
  block->feed_forward_norm = loader->vector(tensor_name(names.feed_forward_norm, layer), a.hidden);
  loader->add_linear(tensor_name(names.q, layer), query, a.hidden, a.attention_bias, &block->q);
  loader->add_linear(tensor_name(names.k, layer), cache, a.hidden, a.attention_bias, &block->k);
  loader->add_linear(tensor_name(names.v, layer), cache, a.hidden, a.attention_bias, &block->v);
  loader->add_linear(tensor_name(names.o, layer), a.hidden, query, a.output_bias, &block->o);
  add_feed_forward(loader, layer, &block->feed_forward);
  block->window = a.windows.empty() ? 0 : a.windows[static_cast<size_t>(layer)];
}

transformer::Geometry geometry_of(const Architecture& a) {
  transformer::Geometry geometry;
  geometry.hidden = a.hidden;
  geometry.heads = a.heads;
  geometry.kv_heads = a.kv_heads;
  geometry.head_dim = a.head_dim;
  geometry.norm_epsilon = a.norm_epsilon;
  geometry.rope = a.rope;
  return geometry;
}

void require_layer(const checkpoint::Checkpoint& checkpoint, int64_t layer) {
  if (layer < 0 || layer >= checkpoint.architecture.layers) {
    throw not_found(checkpoint.folder + ": layer " + std::to_string(layer) + " is asked for; the checkpoint has " +
                    std::to_string(checkpoint.architecture.layers));
  }
}

}  // namespace moxie::model
