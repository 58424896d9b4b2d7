// In which order a product takes its weights, and how compact ones become words meanwhile.
#pragma once

#include <algorithm>
#include <cstdint>

#include "kernels/amx/tiles.h"
#include "kernels/compact_layout.h"
#include "kernels/packed_matrix.h"

namespace moxie::kernels::amx {

constexpr int64_t step_elements = panel_width * tile_k;  // of a panel, 32 k
constexpr int64_t step_bytes = step_elements * static_cast<int64_t>(sizeof(bfloat16));

// Some steps of k of a panel, or of two that run side by side.
struct Piece {
  int64_t panel, second;  // second: -1 where there is none
  int64_t step, steps;
};

// Panels are taken one by one, or the first half of them each beside one of the second, so that each of two streams
// goes on where its last panel ended.
enum class Order : uint8_t {
  kAlongK,      // the whole of a panel, then the next
  kAlongPanels  // a piece of k of all panels, then the next piece of k
};

class Pieces {
 public:
  Pieces(Order order, int64_t panels, bool paired, int64_t steps, int64_t length)
      : order_(order),
        half_(paired ? panels / 2 : 0),
        walks_(panels - half_),
        steps_(steps),
        length_(length),
        of_k_(std::max<int64_t>(1, (steps + length - 1) / length)) {}

  [[nodiscard]] int64_t count() const { return walks_ * of_k_; }
  [[nodiscard]] int64_t walks() const { return walks_; }
  [[nodiscard]] Piece at(int64_t i) const {
    const int64_t walk = order_ == Order::kAlongK ? i / of_k_ : i % walks_;
    const int64_t step = (order_ == Order::kAlongK ? i % of_k_ : i / walks_) * length_;
    const bool paired = walk < half_;
    const int64_t panel = paired ? walk : walk + half_;
    return {panel, paired ? panel + half_ : -1, step, std::min(length_, steps_ - step)};
  }
  [[nodiscard]] bool ends_k(const Piece& piece) const { return piece.step + piece.steps == steps_; }

 private:
  Order order_;
  int64_t half_, walks_, steps_, length_, of_k_;
};

// Where the tiles find the weights of a product's panels.
struct Weights {
  const PackedMatrix* matrix;
  int64_t panel_begin, k_begin;

  [[nodiscard]] bool compact() const { return matrix->is_compact(); }
  // What is read of them, and how much that is.
  [[nodiscard]] const char* memory(int64_t panel, int64_t step) const {
    const int64_t k = k_begin + step * tile_k;
    if (compact()) return reinterpret_cast<const char*>(matrix->compact_block(panel_begin + panel, k));
    return reinterpret_cast<const char*>(matrix->panel_bf16(panel_begin + panel, k));
  }
  [[nodiscard]] int64_t bytes(int64_t steps) const {
    return compact() ? compact_panel_bytes(steps * tile_k) : steps * step_bytes;
  }
  // Words of one step, where they lie or in `room`.
  const bfloat16* words(int64_t panel, int64_t step, bfloat16* room) const {
    const int64_t k = k_begin + step * tile_k;
    return matrix->words(panel_begin + panel, k, k + tile_k, room);
  }
};

// Expands a piece of compact weights into the rooms of the one before it, step by step behind the tiles that read them:
// what multiplies tiles leaves the other units idle, and neither waits for the other.
class Expansion {
 public:
  Expansion() = default;
  Expansion(const Weights& weights, const Piece& piece, bfloat16* room, bfloat16* second)
      : weights_(&weights), piece_(piece), room_(room), second_(second) {}

  // The tiles have read another step.
  void step() {
    if (done_ < piece_.steps) expand();
  }
  void finish() {
    while (done_ < piece_.steps) expand();
  }

 private:
  void expand() {
    const int64_t at = done_ * step_elements, step = piece_.step + done_;
    weights_->words(piece_.panel, step, room_ + at);
    if (piece_.second >= 0) weights_->words(piece_.second, step, second_ + at);
    ++done_;
  }

  const Weights* weights_ = nullptr;
  Piece piece_ = {};
  bfloat16 *room_ = nullptr, *second_ = nullptr;
  int64_t done_ = 0;
};

}  // namespace moxie::kernels::amx
