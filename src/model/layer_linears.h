// Which tensors of a checkpoint make a layer.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "model/weights_loader.h"
#include "moe/feed_forward.h"
#include "transformer/block.h"

namespace moxie::model {

// Names of all linears of a layer, for decide_dtype.
std::vector<std::string> feed_forward_linears(const checkpoint::Architecture& architecture, int64_t layer);
std::vector<std::string> attention_linears(const checkpoint::Architecture& architecture, int64_t layer);

// Fills structure and adds the linears. `feed_forward` and `block` must stay where they are until run().
void add_feed_forward(WeightsLoader* loader, int64_t layer, moe::FeedForward* feed_forward);
void add_block(WeightsLoader* loader, int64_t layer, transformer::Block* block);

transformer::Geometry geometry_of(const checkpoint::Architecture& architecture);

// Error where the checkpoint has no such layer.
void require_layer(const checkpoint::Checkpoint& checkpoint, int64_t layer);

}  // namespace moxie::model
