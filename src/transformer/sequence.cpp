#include "transformer/sequence.h"

#include <algorithm>

namespace moxie::transformer {

Sequence::Sequence(const CacheShape& shape, int64_t first_position_of_sequence)
    : first_position(first_position_of_sequence), cache(shape), switches(static_cast<size_t>(shape.layers)) {}

std::unique_ptr<Sequence> Sequence::fork() const {
  auto other = std::make_unique<Sequence>(cache.shape(), first_position);
  other->length = length;
  other->cache = cache;
  other->switches = switches;
  other->owner = owner;
  return other;
}

void Sequence::truncate(int64_t new_length) {
  length = new_length;
  cache.truncate(new_length);
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
