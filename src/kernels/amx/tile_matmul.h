// c = a * w^T over bfloat16 panels by tiles: the same body for the instructions and for their emulation.
//
// A row of c comes from its own row of a by the same instructions in the same order, however many rows there are: the
// sums stay in tiles along the whole of k, 32 products at a time.
#pragma once

#include <algorithm>

#include "kernels/amx/tiles.h"
#include "kernels/kernels.h"

namespace moxie::kernels::amx {

constexpr int64_t panel_row_bytes = panel_width * 2 * static_cast<int64_t>(sizeof(bfloat16));  // of two k
constexpr int64_t step_elements = panel_width * tile_k;                                        // of a panel, 32 k
constexpr int64_t rows_at_once = 2 * tile_rows;

// Rows [0, rows) of a against one panel or two, sums in tiles 0 .. 3.
struct TileBlock {
  const bfloat16* a;
  int64_t lda;
  int64_t rows;
  int64_t steps;
  const bfloat16* w[2];   // panels, from k_begin
  const bfloat16* ahead;  // what is read next: fetched meanwhile
  float* c;
  int64_t ldc;
  bool accumulate;
};

template <int rows_of_tiles>
TileRows shape_of(int64_t rows) {
  TileRows shape = {};
  for (int t = 0; t < tile_count; ++t) shape.of[t] = tile_rows;
  const auto first = static_cast<uint8_t>(std::min<int64_t>(rows, tile_rows));
  const auto second = static_cast<uint8_t>(rows - first);
  if constexpr (rows_of_tiles == 1) {
    for (const int t : {0, 1, 2, 3, 4}) shape.of[t] = first;
  } else {
    shape.of[0] = shape.of[1] = shape.of[4] = first;
    shape.of[2] = shape.of[3] = shape.of[5] = second;
  }
  return shape;
}

inline void fetch(const bfloat16* from) {
  for (int64_t line = 0; line < step_elements * 2 / 64; ++line) {
    __builtin_prefetch(reinterpret_cast<const char*>(from) + line * 64, 0, 2);
  }
}

// One step of k: 16 columns of weights against the tiles of activations.
template <class Tiles, int rows_of_tiles, int sum, int b>
inline void multiply_half(Tiles& tiles, const bfloat16* w) {
  tiles.template load<b>(w, panel_row_bytes);
  tiles.template multiply<sum, 4, b>();
  if constexpr (rows_of_tiles == 2) tiles.template multiply<sum + 2, 5, b>();
}

template <class Tiles, int tile>
inline void put(Tiles& tiles, const TileBlock& block, int64_t rows, int64_t row, int64_t column) {
  float* c = block.c + row * block.ldc + column;
  if (!block.accumulate) {
    tiles.template store<tile>(c, block.ldc * static_cast<int64_t>(sizeof(float)));
    return;
  }
  float sums[tile_rows][tile_columns];
  tiles.template store<tile>(&sums[0][0], tile_bytes);
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t n = 0; n < tile_columns; ++n) c[r * block.ldc + n] += sums[r][n];
  }
}

// Two rows of tiles take one panel, one row of tiles takes one or two.
template <class Tiles, int rows_of_tiles, int panels>
void multiply_block(const TileBlock& block) {
  static_assert(rows_of_tiles * panels <= 2, "sums have four tiles");
  Tiles tiles(shape_of<rows_of_tiles>(block.rows));
  tiles.template zero<0>();
  tiles.template zero<1>();
  tiles.template zero<2>();
  tiles.template zero<3>();
  const int64_t row_bytes = block.lda * static_cast<int64_t>(sizeof(bfloat16));
  for (int64_t step = 0; step < block.steps; ++step) {
    const bfloat16* a = block.a + step * tile_k;
    const bfloat16* w = block.w[0] + step * step_elements;
    tiles.template load<4>(a, row_bytes);
    if constexpr (rows_of_tiles == 2) tiles.template load<5>(a + tile_rows * block.lda, row_bytes);
    multiply_half<Tiles, rows_of_tiles, 0, 6>(tiles, w);
    multiply_half<Tiles, rows_of_tiles, 1, 7>(tiles, w + tile_k);
    if constexpr (panels == 2) {
      const bfloat16* second = block.w[1] + step * step_elements;
      multiply_half<Tiles, rows_of_tiles, 2, 6>(tiles, second);
      multiply_half<Tiles, rows_of_tiles, 3, 7>(tiles, second + tile_k);
    }
    if (block.ahead != nullptr) fetch(block.ahead + step * step_elements);
  }
  const int64_t first = std::min<int64_t>(block.rows, tile_rows);
  put<Tiles, 0>(tiles, block, first, 0, 0);
  put<Tiles, 1>(tiles, block, first, 0, tile_columns);
  if constexpr (rows_of_tiles == 2) {
    put<Tiles, 2>(tiles, block, block.rows - first, tile_rows, 0);
    put<Tiles, 3>(tiles, block, block.rows - first, tile_rows, tile_columns);
  } else if constexpr (panels == 2) {
    put<Tiles, 2>(tiles, block, first, 0, panel_width);
    put<Tiles, 3>(tiles, block, first, 0, panel_width + tile_columns);
  }
}

template <class Tiles>
void tile_matmul(const Matmul& m) {
  TileBlock block = {};
  block.lda = m.lda;
  block.ldc = m.ldc;
  block.accumulate = m.accumulate;
  // Behind k both sides hold zeros up to the next multiple of 32.
  block.steps = (m.k_end - m.k_begin + tile_k - 1) / tile_k;
  const auto* a = static_cast<const bfloat16*>(m.a);
  auto panel_at = [&](int64_t panel) { return m.w->panel_bf16(panel, m.k_begin); };
  const bool one_row_of_tiles = m.rows <= tile_rows;
  for (int64_t panel = m.panel_begin; panel < m.panel_end;) {
    const int64_t panels = one_row_of_tiles && panel + 1 < m.panel_end ? 2 : 1;
    block.w[0] = panel_at(panel);
    block.w[1] = panels == 2 ? panel_at(panel + 1) : nullptr;
    for (int64_t row = 0; row < m.rows; row += rows_at_once) {
      block.a = a + row * m.lda;
      block.rows = std::min(rows_at_once, m.rows - row);
      block.c = m.c + row * m.ldc + (panel - m.panel_begin) * panel_width;
      block.ahead = row == 0 && panel + panels < m.panel_end ? panel_at(panel + panels) : nullptr;
      if (block.rows > tile_rows) {
        multiply_block<Tiles, 2, 1>(block);
      } else if (panels == 2) {
        multiply_block<Tiles, 1, 2>(block);
      } else {
        multiply_block<Tiles, 1, 1>(block);
      }
    }
    panel += panels;
    if (m.meanwhile.advance != nullptr) {
      m.meanwhile.advance(m.meanwhile.payload, panel - m.panel_begin, m.panel_end - m.panel_begin);
    }
  }
}

}  // namespace moxie::kernels::amx
