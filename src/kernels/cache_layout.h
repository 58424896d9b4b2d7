// How keys and values lie in a sequence's cache, so that one layout serves a single query as well as a thousand.
#pragma once

#include <cstddef>
#include <cstdint>

#include "runtime/dtype.h"

namespace moxie::kernels {

// Positions of one block. Blocks start at multiples of this in their sequence.
constexpr int64_t cache_block = 64;

// Positions whose weighted values are summed by themselves before they are added to those before. Segments start at
// multiples of this, so that several threads can share a row without its bits showing it.
constexpr int64_t attend_segment_length = 512;

// Heads take a whole number of vectors of sixteen.
int64_t padded_head(int64_t head_dim);

// Keys of one head in a block, and as many values behind them:
//   float32   keys [head_dim][64], values [64][padded_head]
//   bfloat16  pairs in words of 32 bits, the even one in the lower half: keys pair neighbouring dimensions,
//             [head_dim / 2][64], values pair neighbouring positions, [32][padded_head]
// The dimensions behind head_dim are there but hold nothing.
struct CacheLayout {
  int64_t head_dim;
  DType dtype;  // MOX_F32 or MOX_BF16

  [[nodiscard]] int64_t bytes() const;  // of keys, or of values

  // Writes positions [begin, begin + count) of a block, from rows [count][ld] of head_dim values. bfloat16: to nearest
  // even.
  void write_keys(std::byte* keys, int64_t begin, int64_t count, const float* rows, int64_t ld) const;
  void write_values(std::byte* values, int64_t begin, int64_t count, const float* rows, int64_t ld) const;

  // One number of a position, widened.
  [[nodiscard]] float key(const std::byte* keys, int64_t position, int64_t i) const;
  [[nodiscard]] float value(const std::byte* values, int64_t position, int64_t i) const;
};

}  // namespace moxie::kernels
