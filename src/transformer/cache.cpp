#include "transformer/cache.h"

#include <sys/mman.h>

#include <cstring>
#include <new>

namespace moxie::transformer {
namespace {

using kernels::cache_block;

constexpr size_t line = 64;
constexpr size_t huge_page = size_t{2} << 20;

}  // namespace

Cache::Block Cache::allocate() const {
  const auto bytes = static_cast<size_t>(shape_.block_bytes());
  const std::align_val_t alignment{bytes < huge_page ? line : huge_page};
  auto* memory = static_cast<std::byte*>(::operator new[](bytes, alignment));
  Block block(memory, [alignment](std::byte* given) { ::operator delete[](given, alignment); });
  // Decoding reads all of it once per token: with small pages it would wait for the tables that find them. A kernel
  // without huge pages refuses, which is only slower.
  if (bytes >= huge_page) (void)madvise(memory, bytes / huge_page * huge_page, MADV_HUGEPAGE);
  return block;
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
