// The KV cache of one sequence: keys and values of all layers, in blocks of positions.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "kernels/cache_layout.h"

namespace moxie::transformer {

struct CacheShape {
  int64_t layers = 0, kv_heads = 0, head_dim = 0;
  DType dtype = MOX_F32;  // MOX_F32 or MOX_BF16

  [[nodiscard]] kernels::CacheLayout layout() const { return {head_dim, dtype}; }
  // Bytes from a block's start to what a head of a layer holds there: keys, then values.
  [[nodiscard]] int64_t keys(int64_t layer, int64_t head) const {
    return (layer * kv_heads + head) * 2 * layout().bytes();
  }
  [[nodiscard]] int64_t values(int64_t layer, int64_t head) const { return keys(layer, head) + layout().bytes(); }
  [[nodiscard]] int64_t block_bytes() const { return keys(layers, 0); }
};

// Blocks of kernels::cache_block positions that copies of a cache share until one of them writes. One block serves all
// layers, so that a sequence asks the system for memory once in as many positions.
class Cache {
 public:
  explicit Cache(const CacheShape& shape) : shape_(shape) {}

  [[nodiscard]] const CacheShape& shape() const { return shape_; }
  // Makes positions [begin, end) writable: allocates blocks (their contents are anything), and copies those that are
  // shared.
  void prepare(int64_t begin, int64_t end);
  [[nodiscard]] int64_t blocks() const { return static_cast<int64_t>(blocks_.size()); }
  [[nodiscard]] std::byte* block(int64_t index) const { return blocks_[static_cast<size_t>(index)].get(); }
  // Gives up blocks behind the first `length` positions.
  void truncate(int64_t length);
  // Shared blocks included.
  [[nodiscard]] int64_t bytes() const { return blocks() * shape_.block_bytes(); }

 private:
  using Block = std::shared_ptr<std::byte[]>;
  [[nodiscard]] Block allocate() const;

  CacheShape shape_;
  std::vector<Block> blocks_;
};

}  // namespace moxie::transformer
