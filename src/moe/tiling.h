// How work over rows and columns is cut into tasks. The column cut is part of the numerics: sums over a feed-forward's
// width are taken block by block at these borders, whatever the batch.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "kernels/packed_matrix.h"

namespace moxie::moe {

constexpr int64_t row_tile = 160;                                    // rows of one task, at most
constexpr int64_t panel_tile = 4;                                    // panels of one task
constexpr int64_t column_block = panel_tile * kernels::panel_width;  // columns of one task

// So few rows take less time to multiply than their weights take to come: long stretches of memory matter more than
// sums that stay in cache.
constexpr int64_t few_rows = 8;
constexpr int64_t panels_of_few_rows = 16;

// Rows that one task copies or rounds: work for several threads where a batch has more.
constexpr int64_t copied_rows = 16;

constexpr int64_t divide_up(int64_t a, int64_t b) { return (a + b - 1) / b; }
constexpr int64_t round_up(int64_t a, int64_t b) { return divide_up(a, b) * b; }
constexpr int64_t padded(int64_t columns) { return round_up(columns, kernels::panel_width); }

// From row to row of a matrix that holds `columns` padded ones: an odd number of cache lines, because rows a power of
// two apart would all fall into the same few sets of the first-level cache.
constexpr int64_t row_stride(int64_t columns, size_t element_bytes) {
  constexpr int64_t line = 64;
  const auto bytes = static_cast<int64_t>(element_bytes);
  const int64_t lines = divide_up(padded(columns) * bytes, line);
  return (lines + 1 - lines % 2) * line / bytes;
}

// Bytes of factors that one task reads from end to end, of so many in all: long enough for a core to read ahead, short
// enough for each thread to have some.
constexpr int64_t stretch(int64_t bytes, int64_t threads) {
  return std::clamp(bytes / (8 * threads), int64_t{64} << 10, int64_t{1} << 20);
}

struct Span {
  int64_t begin, end;
  [[nodiscard]] int64_t size() const { return end - begin; }
};

// Part `index` of [0, count) in steps of `step`.
inline Span part(int64_t index, int64_t step, int64_t count) {
  return {index * step, std::min((index + 1) * step, count)};
}

// Tiles of rows: as few as possible, and none much shorter than the others, because a short one reads as many weights.
// They begin at multiples of what a kernel takes at once.
constexpr int64_t tiles_of(int64_t rows) { return divide_up(rows, row_tile); }
inline Span tile_of_rows(int64_t index, int64_t rows) {
  constexpr int64_t together = 8;
  const int64_t tiles = tiles_of(rows);
  const auto begin = [&](int64_t i) { return std::min(round_up(rows * i / tiles, together), rows); };
  return {begin(index), begin(index + 1)};
}

}  // namespace moxie::moe
