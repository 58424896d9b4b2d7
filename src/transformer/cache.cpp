#include "transformer/cache.h"

#include <cstring>
#include <new>

namespace moxie::transformer {
namespace {

using kernels::cache_block;

constexpr std::align_val_t alignment{64};

}  // namespace

Cache::Block Cache::allocate() const {
  auto* memory = static_cast<std::byte*>(::operator new[](static_cast<size_t>(shape_.block_bytes()), alignment));
  return {memory, [](std::byte* block) { ::operator delete[](block, alignment); }};
}

void Cache::prepare(int64_t begin, int64_t end) {
  if (begin >= end) return;
  for (int64_t index = begin / cache_block; index <= (end - 1) / cache_block; ++index) {
    if (index == blocks()) {
      blocks_.push_back(allocate());
      continue;
    }
    Block& block = blocks_[static_cast<size_t>(index)];
    if (block.use_count() == 1) continue;
    Block own = allocate();
    std::memcpy(own.get(), block.get(), static_cast<size_t>(shape_.block_bytes()));
    block = std::move(own);
  }
}

void Cache::truncate(int64_t length) {
  const auto kept = static_cast<size_t>((length + cache_block - 1) / cache_block);
  if (kept < blocks_.size()) blocks_.resize(kept);
}

}  // namespace moxie::transformer
