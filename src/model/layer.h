// One layer of a checkpoint by itself: its block, or its feed-forward.
#pragma once

#include <memory>
#include <string>

#include "adapter/base_linears.h"
#include "model/decoder.h"

namespace moxie::model {

struct LayerBlock {
  checkpoint::Architecture architecture;
  transformer::Geometry geometry;
  int64_t layer = 0;
  transformer::Block block;
};

struct LayerFeedForward {
  checkpoint::Architecture architecture;  // layers 0 where the weights are the caller's
  int64_t layer = -1;
  moe::FeedForward feed_forward;
};

std::shared_ptr<LayerBlock> open_block(const std::string& folder, int64_t layer, const LoadSettings& settings);
std::shared_ptr<LayerFeedForward> open_feed_forward(const std::string& folder, int64_t layer,
                                                    const LoadSettings& settings);

// What an adapter's reader is to know of each, and compute with.
adapter::BaseLinears base_linears(const Decoder& decoder, const adapter::NormMaker& norms);
adapter::BaseLinears base_linears(const LayerBlock& block, const adapter::NormMaker& norms);
// layer: whose tensors are to be taken.
adapter::BaseLinears base_linears(const LayerFeedForward& feed_forward, int64_t layer, const adapter::NormMaker& norms);

}  // namespace moxie::model
