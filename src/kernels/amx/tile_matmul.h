// c = a * w^T over bfloat16 panels by tiles: the same body for the instructions and for their emulation.
//
// A row of c comes from its own row of a by the same instructions in the same order, however many rows there are: its
// sums go along the whole of k, 32 products at a time. Where they wait in memory between two blocks of k they keep
// every bit.
#pragma once

#include <algorithm>

#include "kernels/amx/ahead.h"
#include "kernels/amx/tiles.h"
#include "kernels/compact_layout.h"
#include "kernels/kernels.h"

namespace moxie::kernels::amx {

constexpr int64_t panel_row_bytes = panel_width * 2 * static_cast<int64_t>(sizeof(bfloat16));  // of two k
constexpr int64_t step_elements = panel_width * tile_k;                                        // of a panel, 32 k
constexpr int64_t step_bytes = step_elements * static_cast<int64_t>(sizeof(bfloat16));
constexpr int64_t most_rows = 2 * tile_rows;  // of a block

// Steps of k that make a piece. Where blocks of rows share weights, a piece of a panel fits the first-level cache
// beside the rows that stream past it; where they do not, it is only how far ahead memory is asked.
constexpr int64_t shared_steps = 16;
constexpr int64_t most_single_steps = 32;

// What comes out of a block of k that is not the last stays in c, and the next goes on from there.
enum class Sums { kBegin, kGoOn };

// Rows of a that tiles 4 and 5 hold, and where their sums go.
struct RowBlock {
  int64_t first, rows;
  [[nodiscard]] bool two_tiles() const { return rows > tile_rows; }
};

// `total` rows in as few blocks as possible, the longer ones first: the shape of the tiles changes once at most.
struct RowBlocks {
  int64_t total, count;
  explicit RowBlocks(int64_t rows) : total(rows), count((rows + most_rows - 1) / most_rows) {}
  [[nodiscard]] RowBlock at(int64_t i) const {
    const int64_t length = total / count, longer = total % count;
    return {i * length + std::min(i, longer), length + (i < longer ? 1 : 0)};
  }
};

inline TileRows shape_of(int64_t rows) {
  TileRows shape = {};
  for (int t = 0; t < tile_count; ++t) shape.of[t] = tile_rows;
  const auto first = static_cast<uint8_t>(std::min<int64_t>(rows, tile_rows));
  const auto second = static_cast<uint8_t>(rows - first);
  if (second == 0) {
    for (const int t : {0, 1, 2, 3, 4}) shape.of[t] = first;
  } else {
    shape.of[0] = shape.of[1] = shape.of[4] = first;
    shape.of[2] = shape.of[3] = shape.of[5] = second;
  }
  return shape;
}

// One product under way.
template <class Tiles>
class TileProduct {
 public:
  explicit TileProduct(const Matmul& m)
      // Behind k both sides hold zeros up to the next multiple of 32.
      : m_(m), steps_((m.k_end - m.k_begin + tile_k - 1) / tile_k), blocks_(m.rows) {}

  void run() {
    // Sums that are added to what c holds must be whole before.
    if (blocks_.count > 1 && !m_.accumulate) {
      share_weights();
    } else {
      for (int64_t i = 0; i < blocks_.count; ++i) stream_weights(i);
    }
  }

 private:
  // Weights of so many steps: where they lie, or expanded into one of two rooms.
  [[nodiscard]] const bfloat16* weights(int64_t panel, int64_t step, int64_t steps, int room = 0) {
    const int64_t k = m_.k_begin + step * tile_k;
    return m_.w->words(m_.panel_begin + panel, k, k + steps * tile_k, room_[room]);
  }
  // What is read for them.
  [[nodiscard]] const void* memory(int64_t panel, int64_t step) const {
    const int64_t k = m_.k_begin + step * tile_k;
    if (m_.w->is_compact()) return m_.w->compact_block(m_.panel_begin + panel, k);
    return m_.w->panel_bf16(m_.panel_begin + panel, k);
  }
  [[nodiscard]] int64_t memory_bytes(int64_t steps) const {
    if (!m_.w->is_compact()) return steps * step_bytes;
    return compact_panel_bytes(steps * tile_k);
  }
  // Of a piece of rows that do not share weights.
  [[nodiscard]] int64_t single_steps() const { return m_.w->is_compact() ? shared_steps : most_single_steps; }
  [[nodiscard]] int64_t panels() const { return m_.panel_end - m_.panel_begin; }
  [[nodiscard]] float* sums(const RowBlock& rows, int64_t panel) const {
    return m_.c + rows.first * m_.ldc + panel * panel_width;
  }
  [[nodiscard]] const bfloat16* activations(const RowBlock& rows, int64_t step) const {
    return static_cast<const bfloat16*>(m_.a) + rows.first * m_.lda + step * tile_k;
  }

  void shape(const RowBlock& rows) {
    if (rows.rows == shaped_) return;
    shaped_ = rows.rows;
    tiles_.shape(shape_of(rows.rows));
  }

  // Several blocks of rows: a piece of a panel serves them all before the next one comes.
  void share_weights() {
    const int64_t pieces_of_k = std::max<int64_t>(1, (steps_ + shared_steps - 1) / shared_steps);
    const int64_t pieces = pieces_of_k * panels();
    DealtFetches fetches(m_.meanwhile, steps_ * panels() * blocks_.count);
    int64_t done = 0;
    for (int64_t piece = 0; piece < pieces_of_k; ++piece) {
      const int64_t step = piece * shared_steps, steps = std::min(shared_steps, steps_ - step);
      for (int64_t panel = 0; panel < panels(); ++panel) {
        Ahead ahead(after_shared(panel, step + steps), steps * blocks_.count);
        const bfloat16* w = weights(panel, step, steps);
        for (int64_t i = 0; i < blocks_.count; ++i) {
          const RowBlock rows = blocks_.at(i);
          shape(rows);
          begin(rows, panel, piece == 0 ? Sums::kBegin : Sums::kGoOn);
          if (rows.two_tiles()) {
            walk<2, 1, Reuse::kWeights>(activations(rows, step), w, nullptr, steps, ahead, fetches);
          } else {
            walk<1, 1, Reuse::kWeights>(activations(rows, step), w, nullptr, steps, ahead, fetches);
          }
          store(rows, panel);
        }
        advance(++done, pieces);
      }
    }
  }

  // The piece that is read after this one: where it is, and how long.
  Area after_shared(int64_t panel, int64_t next_step) const {
    const int64_t step = (next_step - 1) / shared_steps * shared_steps;
    if (panel + 1 < panels()) return {memory(panel + 1, step), nullptr, memory_bytes(next_step - step)};
    if (next_step < steps_) {
      return {memory(0, next_step), nullptr, memory_bytes(std::min(shared_steps, steps_ - next_step))};
    }
    return {m_.after, nullptr, memory_bytes(std::min(shared_steps, steps_))};
  }

  // One block of rows alone: every weight is read once, along the whole of k. With one tile of rows two panels run side
  // by side, half of the panels apart, so that each stream goes on where its last panel ended.
  void stream_weights(int64_t i) {
    const RowBlock rows = blocks_.at(i);
    const int64_t half = rows.two_tiles() ? 0 : panels() / 2;
    const int64_t walks = panels() - half;
    DealtFetches fetches(m_.meanwhile, i == 0 ? steps_ * walks : 0);
    int64_t done = 0;
    for (int64_t panel = 0; panel < panels();) {
      const bool paired = panel < half;
      shape(rows);
      begin(rows, panel, Sums::kBegin);
      for (int64_t step = 0; step < steps_; step += single_steps()) {
        const int64_t steps = std::min(single_steps(), steps_ - step);
        Ahead ahead(after_single(panel, half, step + steps), steps);
        const bfloat16* a = activations(rows, step);
        const bfloat16* w = weights(panel, step, steps);
        if (rows.two_tiles()) {
          walk<2, 1, Reuse::kActivations>(a, w, nullptr, steps, ahead, fetches);
        } else if (paired) {
          walk<1, 2, Reuse::kActivations>(a, w, weights(panel + half, step, steps, 1), steps, ahead, fetches);
        } else {
          walk<1, 1, Reuse::kActivations>(a, w, nullptr, steps, ahead, fetches);
        }
      }
      store(rows, panel);
      if (paired) store_second(rows, panel + half);
      panel = panel_after(panel, half);
      if (i == 0) advance(++done, walks);
    }
  }

  // Behind the first half come the panels that have none beside them; the second half went with the first.
  static int64_t panel_after(int64_t panel, int64_t half) { return panel + 1 == half ? 2 * half : panel + 1; }

  Area after_single(int64_t panel, int64_t half, int64_t next_step) const {
    if (next_step == steps_) {
      panel = panel_after(panel, half);
      next_step = 0;
    }
    const int64_t bytes = memory_bytes(std::min(single_steps(), steps_ - next_step));
    if (panel >= panels()) return {m_.after, nullptr, bytes};
    return {memory(panel, next_step), panel < half ? memory(panel + half, next_step) : nullptr, bytes};
  }

  void advance(int64_t done, int64_t of) {
    if (m_.meanwhile.advance == nullptr) return;
    m_.meanwhile.advance(m_.meanwhile.payload, done, of);
    shaped_ = 0;  // another product on this thread would have let go of the tiles
  }

  // Which operand is read again soon; the other one need not stay in the first-level cache.
  enum class Reuse { kActivations, kWeights };

  template <int tile, bool stays>
  void load(const bfloat16* from, int64_t stride) {
    if constexpr (stays) {
      tiles_.template load<tile>(from, stride);
    } else {
      tiles_.template load_once<tile>(from, stride);
    }
  }

  // One step of k: 16 columns of weights against the tiles of activations.
  template <int rows_of_tiles, int sum, int b, Reuse reuse>
  void multiply_half(const bfloat16* w) {
    load<b, reuse == Reuse::kWeights>(w, panel_row_bytes);
    tiles_.template multiply<sum, 4, b>();
    if constexpr (rows_of_tiles == 2) tiles_.template multiply<sum + 2, 5, b>();
  }

  // Two tiles of rows take one panel, one takes one or two.
  template <int rows_of_tiles, int panels, Reuse reuse>
  void walk(const bfloat16* a, const bfloat16* w, const bfloat16* second, int64_t steps, Ahead& ahead,
            DealtFetches& fetches) {
    static_assert(rows_of_tiles * panels <= 2, "sums have four tiles");
    const int64_t row_bytes = m_.lda * static_cast<int64_t>(sizeof(bfloat16));
    for (int64_t step = 0; step < steps; ++step) {
      load<4, reuse == Reuse::kActivations>(a, row_bytes);
      if constexpr (rows_of_tiles == 2) load<5, reuse == Reuse::kActivations>(a + tile_rows * m_.lda, row_bytes);
      multiply_half<rows_of_tiles, 0, 6, reuse>(w);
      multiply_half<rows_of_tiles, 1, 7, reuse>(w + tile_k);
      if constexpr (panels == 2) {
        multiply_half<rows_of_tiles, 2, 6, reuse>(second);
        multiply_half<rows_of_tiles, 3, 7, reuse>(second + tile_k);
        second += step_elements;
      }
      a += tile_k;
      w += step_elements;
      ahead.step();
      fetches.step();
    }
  }

  void begin(const RowBlock& rows, int64_t panel, Sums how) {
    if (how == Sums::kBegin) {
      tiles_.template zero<0>();
      tiles_.template zero<1>();
      tiles_.template zero<2>();
      tiles_.template zero<3>();
      return;
    }
    const int64_t stride = m_.ldc * static_cast<int64_t>(sizeof(float));
    const float* c = sums(rows, panel);
    tiles_.template load<0>(c, stride);
    tiles_.template load<1>(c + tile_columns, stride);
    if (!rows.two_tiles()) return;
    tiles_.template load<2>(c + tile_rows * m_.ldc, stride);
    tiles_.template load<3>(c + tile_rows * m_.ldc + tile_columns, stride);
  }

  void store(const RowBlock& rows, int64_t panel) {
    float* c = sums(rows, panel);
    const int64_t first = std::min<int64_t>(rows.rows, tile_rows);
    put<0>(c, first);
    put<1>(c + tile_columns, first);
    if (!rows.two_tiles()) return;
    put<2>(c + tile_rows * m_.ldc, rows.rows - first);
    put<3>(c + tile_rows * m_.ldc + tile_columns, rows.rows - first);
  }

  // Of one tile of rows: what the second panel made.
  void store_second(const RowBlock& rows, int64_t panel) {
    float* c = sums(rows, panel);
    put<2>(c, rows.rows);
    put<3>(c + tile_columns, rows.rows);
  }

  template <int tile>
  void put(float* c, int64_t rows) {
    if (!m_.accumulate) {
      tiles_.template store<tile>(c, m_.ldc * static_cast<int64_t>(sizeof(float)));
      return;
    }
    float sums[tile_rows][tile_columns];
    tiles_.template store<tile>(&sums[0][0], tile_bytes);
    for (int64_t r = 0; r < rows; ++r) {
      for (int64_t n = 0; n < tile_columns; ++n) c[r * m_.ldc + n] += sums[r][n];
    }
  }

  const Matmul& m_;
  int64_t steps_;
  RowBlocks blocks_;
  Tiles tiles_;
  int64_t shaped_ = 0;
  alignas(line) bfloat16 room_[2][shared_steps * step_elements];
};

template <class Tiles>
void tile_matmul(const Matmul& m) {
  if (m.rows > 0) TileProduct<Tiles>(m).run();
}

}  // namespace moxie::kernels::amx
