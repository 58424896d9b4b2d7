// c = a * w^T over bfloat16 panels by tiles: the same body for the instructions and for their emulation.
//
// A row of c comes from its own row of a by the same instructions in the same order, however many rows there are: its
// sums go along the whole of k, 32 products at a time. Where they wait in memory between two blocks of k they keep
// every bit.
#pragma once

#include <algorithm>

#include "kernels/amx/ahead.h"
#include "kernels/amx/pieces.h"
#include "kernels/amx/tiles.h"
#include "kernels/kernels.h"

namespace moxie::kernels::amx {

constexpr int64_t panel_row_bytes = panel_width * 2 * static_cast<int64_t>(sizeof(bfloat16));  // of two k
constexpr int64_t most_rows = int64_t{2} * tile_rows;                                          // of a block

// Steps of k that make a piece. Where blocks of rows share weights, a piece of a panel fits the first-level cache
// beside the rows that stream past it, and so do the words of two where compact ones run side by side; of weights that
// are read from memory once, it is only how far ahead they are asked.
constexpr int64_t shared_steps = 16;
constexpr int64_t single_steps_of_compact = 8;
constexpr int64_t single_steps_of_plain = 32;

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
      : m_(m),
        weights_{m.w, m.panel_begin, m.k_begin},
        steps_((m.k_end - m.k_begin + tile_k - 1) / tile_k),
        blocks_(m.rows) {}

  void run() {
    // Sums that are added to what c holds must be whole before.
    if (blocks_.count > 1 && !m_.accumulate) {
      share_weights();
    } else {
      for (int64_t i = 0; i < blocks_.count; ++i) stream_weights(i);
    }
  }

 private:
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
    const Pieces pieces(Order::kAlongPanels, panels(), false, steps_, shared_steps);
    DealtFetches fetches(m_.meanwhile, steps_ * panels() * blocks_.count);
    expand_first(pieces);
    for (int64_t i = 0; i < pieces.count(); ++i) {
      const Piece piece = pieces.at(i);
      Ahead ahead(area_after(pieces, i), piece.steps * blocks_.count);
      for (int64_t b = 0; b < blocks_.count; ++b) {
        // Back and forth: another shape of the tiles, which the shorter blocks need, is dear.
        const RowBlock rows = blocks_.at(i % 2 == 0 ? b : blocks_.count - 1 - b);
        shape(rows);
        begin(rows, piece.panel, piece.step == 0 ? Sums::kBegin : Sums::kGoOn);
        // The last to read a piece makes way for the next one.
        Expansion next = b + 1 == blocks_.count ? expansion_after(pieces, i) : Expansion();
        const Walk walk{activations(rows, piece.step),
                        words(piece.panel, piece.step, 0),
                        nullptr,
                        piece.steps,
                        ahead,
                        fetches,
                        next};
        if (rows.two_tiles()) {
          take<2, 1, Reuse::kWeights>(walk);
        } else {
          take<1, 1, Reuse::kWeights>(walk);
        }
        store(rows, piece.panel);
      }
      advance(i + 1, pieces.count());
    }
  }

  // One block of rows alone: every weight is read once, along the whole of k. With one tile of rows two panels run side
  // by side.
  void stream_weights(int64_t block) {
    const RowBlock rows = blocks_.at(block);
    const Pieces pieces(Order::kAlongK, panels(), !rows.two_tiles(), steps_,
                        weights_.compact() ? single_steps_of_compact : single_steps_of_plain);
    DealtFetches fetches(m_.meanwhile, block == 0 ? steps_ * pieces.walks() : 0);
    int64_t done = 0;
    expand_first(pieces);
    for (int64_t i = 0; i < pieces.count(); ++i) {
      const Piece piece = pieces.at(i);
      const bool paired = piece.second >= 0;
      if (piece.step == 0) {
        shape(rows);
        begin(rows, piece.panel, Sums::kBegin);
      }
      Ahead ahead(area_after(pieces, i), piece.steps);
      Expansion next = expansion_after(pieces, i);
      const Walk walk{activations(rows, piece.step),
                      words(piece.panel, piece.step, 0),
                      paired ? words(piece.second, piece.step, 1) : nullptr,
                      piece.steps,
                      ahead,
                      fetches,
                      next};
      if (weights_.compact()) {
        take_alone<Reuse::kBoth>(rows, paired, walk);
      } else {
        take_alone<Reuse::kActivations>(rows, paired, walk);
      }
      if (!pieces.ends_k(piece)) continue;
      store(rows, piece.panel);
      if (paired) store_second(rows, piece.second);
      if (block == 0) advance(++done, pieces.walks());
    }
  }

  // Words of a piece that begins there: where they lie, or where they were expanded to.
  [[nodiscard]] const bfloat16* words(int64_t panel, int64_t step, int room) {
    return weights_.compact() ? room_[room] : weights_.words(panel, step, nullptr);
  }

  void expand_first(const Pieces& pieces) {
    if (weights_.compact() && pieces.count() > 0) Expansion(weights_, pieces.at(0), room_[0], room_[1]).finish();
  }
  Expansion expansion_after(const Pieces& pieces, int64_t i) {
    if (!weights_.compact() || i + 1 == pieces.count()) return {};
    return {weights_, pieces.at(i + 1), room_[0], room_[1]};
  }

  // What is asked for during piece i: the next one, or, where that is being expanded already, the one after it. What
  // comes after this product is taken to be like it.
  [[nodiscard]] Area area_after(const Pieces& pieces, int64_t i) const {
    const int64_t later = i + (weights_.compact() ? 2 : 1), beyond = later - pieces.count();
    if (beyond < 0) return area(pieces.at(later), weights_.memory(0, 0));
    if (m_.after == nullptr) return {};
    return area(pieces.at(std::min(beyond, pieces.count() - 1)), static_cast<const char*>(m_.after));
  }
  // Of a product whose first panel lies at `from`.
  [[nodiscard]] Area area(const Piece& piece, const char* from) const {
    const auto at = [&](int64_t panel) { return from + (weights_.memory(panel, piece.step) - weights_.memory(0, 0)); };
    return {at(piece.panel), piece.second >= 0 ? at(piece.second) : nullptr, weights_.bytes(piece.steps)};
  }

  void advance(int64_t done, int64_t of) {
    if (m_.meanwhile.advance == nullptr) return;
    m_.meanwhile.advance(m_.meanwhile.payload, done, of);
    shaped_ = 0;  // another product on this thread would have let go of the tiles
  }

  // Which operand is read from the first-level cache, and may stay there.
  enum class Reuse : uint8_t { kActivations, kWeights, kBoth };

  // A piece against one block of rows, and what goes on beside it.
  struct Walk {
    const bfloat16 *a, *w, *second;
    int64_t steps;
    Ahead& ahead;
    DealtFetches& fetches;
    Expansion& next;
  };

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
    load<b, reuse != Reuse::kActivations>(w, panel_row_bytes);
    tiles_.template multiply<sum, 4, b>();
    if constexpr (rows_of_tiles == 2) tiles_.template multiply<sum + 2, 5, b>();
  }

  // Two tiles of rows take one panel, one takes one or two.
  template <int rows_of_tiles, int panels, Reuse reuse>
  void take(Walk walk) {
    static_assert(rows_of_tiles * panels <= 2, "sums have four tiles");
    const int64_t row_bytes = m_.lda * static_cast<int64_t>(sizeof(bfloat16));
    for (int64_t step = 0; step < walk.steps; ++step) {
      load<4, reuse != Reuse::kWeights>(walk.a, row_bytes);
      if constexpr (rows_of_tiles == 2) load<5, reuse != Reuse::kWeights>(walk.a + tile_rows * m_.lda, row_bytes);
      multiply_half<rows_of_tiles, 0, 6, reuse>(walk.w);
      multiply_half<rows_of_tiles, 1, 7, reuse>(walk.w + tile_k);
      if constexpr (panels == 2) {
        multiply_half<rows_of_tiles, 2, 6, reuse>(walk.second);
        multiply_half<rows_of_tiles, 3, 7, reuse>(walk.second + tile_k);
        walk.second += step_elements;
      }
      walk.a += tile_k;
      walk.w += step_elements;
      walk.ahead.step();
      walk.fetches.step();
      walk.next.step();
    }
    walk.next.finish();
  }

  template <Reuse reuse>
  void take_alone(const RowBlock& rows, bool paired, const Walk& walk) {
    if (rows.two_tiles()) {
      take<2, 1, reuse>(walk);
    } else if (paired) {
      take<1, 2, reuse>(walk);
    } else {
      take<1, 1, reuse>(walk);
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
  Weights weights_;
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
