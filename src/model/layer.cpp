#include "model/layer.h"

#include "model/layer_linears.h"
#include "model/weights_loader.h"

namespace moxie::model {
namespace {

using adapter::BaseLayer;
using adapter::BaseLinear;
using adapter::BaseLinears;
using checkpoint::Architecture;

BaseLinear linear_of(const moe::Linear& linear) {
  return linear.empty() ? BaseLinear{} : BaseLinear{linear.in(), linear.out(), &linear.weight};
}

void put_feed_forward(const moe::FeedForward& feed_forward, BaseLayer* layer) {
  if (feed_forward.router) return;
  const moe::Expert& dense = feed_forward.experts.front();
  layer->gate = linear_of(dense.gate);
  layer->up = linear_of(dense.up);
  layer->down = linear_of(dense.down);
}

BaseLayer layer_of(const transformer::Block& block) {
  BaseLayer layer;
  layer.q = linear_of(block.q);
  layer.k = linear_of(block.k);
  layer.v = linear_of(block.v);
  layer.o = linear_of(block.o);
  put_feed_forward(block.feed_forward, &layer);
  return layer;
}

BaseLinears common(const Architecture& architecture, const moe::FeedForward& feed_forward,
                   const adapter::NormMaker& norms) {
  BaseLinears base;
  base.family = architecture.family;
  base.hidden = feed_forward.hidden;
  base.bank_of_experts = feed_forward.router.has_value();
  base.gated = feed_forward.gated;
  base.norms = norms;
  base.layer_count = architecture.layers;
  return base;
}

}  // namespace

std::shared_ptr<LayerBlock> open_block(const std::string& folder, int64_t layer, const LoadSettings& settings) {
  const checkpoint::Checkpoint checkpoint = checkpoint::open_checkpoint(folder, settings.map_files);
  checkpoint::refuse_unknown_tensors(checkpoint);
  require_layer(checkpoint, layer);
  checkpoint::require_attention(checkpoint.architecture, folder);
  auto result = std::make_shared<LayerBlock>();
  result->architecture = checkpoint.architecture;
  result->geometry = geometry_of(checkpoint.architecture);
  result->layer = layer;
  WeightsLoader loader(checkpoint, settings, "block " + std::to_string(layer));
  std::vector<std::string> linears = attention_linears(checkpoint.architecture, layer);
  for (const std::string& name : feed_forward_linears(checkpoint.architecture, layer)) linears.push_back(name);
  loader.decide_dtype(linears);
  add_block(&loader, layer, &result->block);
  loader.run();
  return result;
}

std::shared_ptr<LayerFeedForward> open_feed_forward(const std::string& folder, int64_t layer,
                                                    const LoadSettings& settings) {
  const checkpoint::Checkpoint checkpoint = checkpoint::open_checkpoint(folder, settings.map_files);
  checkpoint::refuse_unknown_tensors(checkpoint);
  require_layer(checkpoint, layer);
  auto result = std::make_shared<LayerFeedForward>();
  result->architecture = checkpoint.architecture;
  result->layer = layer;
  WeightsLoader loader(checkpoint, settings, "feed-forward " + std::to_string(layer));
  loader.decide_dtype(feed_forward_linears(checkpoint.architecture, layer));
  add_feed_forward(&loader, layer, &result->feed_forward);
  loader.run();
  return result;
}

BaseLinears base_linears(const Decoder& decoder, const adapter::NormMaker& norms) {
  BaseLinears base = common(decoder.architecture, decoder.blocks.front().feed_forward, norms);
  for (const transformer::Block& block : decoder.blocks) base.layers.push_back(layer_of(block));
  return base;
}

BaseLinears base_linears(const LayerBlock& block, const adapter::NormMaker& norms) {
  BaseLinears base = common(block.architecture, block.block.feed_forward, norms);
  base.only_layer = block.layer;
  base.layers.push_back(layer_of(block.block));
  return base;
}

BaseLinears base_linears(const LayerFeedForward& feed_forward, int64_t layer, const adapter::NormMaker& norms) {
  const Architecture& a = feed_forward.architecture;
  BaseLinears base = common(a, feed_forward.feed_forward, norms);
  base.only_layer = layer;
  BaseLayer only;
  if (a.layers > 0) {
    const int64_t query = static_cast<int64_t>(a.heads) * a.head_dim;
    const int64_t cache = static_cast<int64_t>(a.kv_heads) * a.head_dim;
    only.q = {a.hidden, query, nullptr};
    only.k = {a.hidden, cache, nullptr};
    only.v = {a.hidden, cache, nullptr};
    only.o = {query, a.hidden, nullptr};
  } else {
    base.layer_count = -1;
  }
  put_feed_forward(feed_forward.feed_forward, &only);
  base.layers.push_back(only);
  return base;
}

}  // namespace moxie::model
