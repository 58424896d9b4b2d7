// The factors of LoRA sets in the layout of their kernels.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include "kernels/kernels.h"

namespace moxie::kernels {

// One factor [n, k] of each of several sets, float32. Output features stand in panels, [n / width][k][width], so that a
// kernel streams a panel along k. n is padded with zeros to a whole panel; k is not padded: for B it is the rank, and
// most of what is read would be padding.
class FactorBank {
 public:
  FactorBank() = default;
  FactorBank(int64_t width, int64_t sets, int64_t n, int64_t k);

  [[nodiscard]] bool empty() const { return sets_ == 0; }
  [[nodiscard]] int64_t sets() const { return sets_; }
  [[nodiscard]] int64_t n() const { return n_; }
  [[nodiscard]] int64_t k() const { return k_; }
  [[nodiscard]] int64_t panels() const { return (n_ + width_ - 1) / width_; }
  [[nodiscard]] size_t bytes() const { return static_cast<size_t>(sets_ * set_stride()) * sizeof(float); }
  [[nodiscard]] FactorPanels panels_of(int64_t set) const { return panels_of(set, 0, panels()); }
  [[nodiscard]] FactorPanels panels_of(int64_t set, int64_t begin, int64_t end) const {
    const auto* floats = reinterpret_cast<const float*>(memory_.get());
    return {floats + set * set_stride() + begin * panel_stride(), panel_stride(), end - begin};
  }

  // Rows [first_row, first_row + rows) of a set from row-major memory; `columns` of them, to columns from first_column.
  void pack(int64_t set, int64_t first_row, int64_t rows, int64_t first_column, int64_t columns, const float* source,
            int64_t source_stride);

  // One output feature's row of a set: [k].
  void read_row(int64_t set, int64_t row, float* destination) const;

 private:
  [[nodiscard]] int64_t panel_stride() const { return k_ * width_; }
  [[nodiscard]] int64_t set_stride() const { return panels() * panel_stride(); }

  int64_t width_ = 1, sets_ = 0, n_ = 0, k_ = 0;
  std::shared_ptr<std::byte> memory_;
};

}  // namespace moxie::kernels
