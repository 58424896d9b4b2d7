#include "transformer/sequence.h"

#include <algorithm>

namespace moxie::transformer {

void LayerCache::prepare(int64_t begin, int64_t end) {
  if (begin >= end) return;
  for (int64_t index = begin / cache_block; index <= (end - 1) / cache_block; ++index) {
    if (index == static_cast<int64_t>(blocks_.size())) {
      blocks_.push_back(std::make_shared<Block>(static_cast<size_t>(2 * cache_block * width_)));
    } else if (blocks_[static_cast<size_t>(index)].use_count() > 1) {
      blocks_[static_cast<size_t>(index)] = std::make_shared<Block>(*blocks_[static_cast<size_t>(index)]);
    }
  }
}

void LayerCache::truncate(int64_t length) {
  const auto kept = static_cast<size_t>((length + cache_block - 1) / cache_block);
  if (kept < blocks_.size()) blocks_.resize(kept);
}

Sequence::Sequence(int64_t layer_count, int64_t cache_width, int64_t first_position_of_sequence)
    : first_position(first_position_of_sequence),
      layers(static_cast<size_t>(layer_count), LayerCache(cache_width)),
      switches(static_cast<size_t>(layer_count)) {}

std::unique_ptr<Sequence> Sequence::fork() const {
  auto other = std::make_unique<Sequence>(static_cast<int64_t>(layers.size()), 0, first_position);
  other->length = length;
  other->layers = layers;
  other->switches = switches;
  other->owner = owner;
  return other;
}

void Sequence::truncate(int64_t new_length) {
  length = new_length;
  for (LayerCache& layer : layers) layer.truncate(new_length);
  for (SwitchMemory& memory : switches) {
    if (memory.adapter == 0) continue;
    const auto kept = static_cast<size_t>(std::max<int64_t>(0, new_length - memory.first_row));
    while (memory.chosen.size() > kept) {
      --memory.served[static_cast<size_t>(memory.chosen.back())];
      memory.chosen.pop_back();
    }
    if (kept == 0) memory = SwitchMemory{};
  }
}

}  // namespace moxie::transformer
