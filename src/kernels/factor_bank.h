// The factors of LoRA sets in the layout of their kernels, and routers' gates, whose panels are single rows.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include "kernels/kernels.h"

namespace moxie::kernels {

// One factor [n, k] of each of several sets, float32 or, where that holds the same values, bfloat16. Output features
// stand in panels, [n / width][k][width], so that a kernel streams a panel along k. n is padded with zeros to a whole
// panel; k is not padded: for B it is the rank, and most of what is read would be padding.
class FactorBank {
 public:
  FactorBank() = default;
  FactorBank(DType dtype, int64_t width, int64_t sets, int64_t n, int64_t k);

  [[nodiscard]] bool empty() const { return sets_ == 0; }
  [[nodiscard]] DType dtype() const { return dtype_; }
  [[nodiscard]] int64_t sets() const { return sets_; }
  [[nodiscard]] int64_t n() const { return n_; }
  [[nodiscard]] int64_t k() const { return k_; }
  [[nodiscard]] int64_t panels() const { return (n_ + width_ - 1) / width_; }
  [[nodiscard]] size_t bytes() const { return static_cast<size_t>(bytes_of(sets_ * set_stride())); }
  [[nodiscard]] int64_t panel_bytes() const { return bytes_of(panel_stride()); }
  [[nodiscard]] int64_t set_bytes() const { return bytes_of(set_stride()); }
  [[nodiscard]] FactorPanels panels_of(int64_t set) const { return panels_of(set, 0, panels()); }
  [[nodiscard]] FactorPanels panels_of(int64_t set, int64_t begin, int64_t end) const {
    return {at(set, begin, 0), dtype_, panel_stride(), end - begin};
  }

  // What the kernels read of panels [begin, end) of a set, and of columns [first, first + columns) of one panel.
  [[nodiscard]] Fetch fetch(int64_t set, int64_t begin, int64_t end) const {
    return {at(set, begin, 0), (end - begin) * panel_bytes()};
  }
  [[nodiscard]] Fetch fetch_columns(int64_t set, int64_t panel, int64_t first, int64_t columns) const {
    return {at(set, panel, first), bytes_of(columns * width_)};
  }

  // Rows [first_row, first_row + rows) of a set from row-major memory; `columns` of them, to columns from first_column.
  // A bank of bfloat16 takes the upper halves.
  void pack(int64_t set, int64_t first_row, int64_t rows, int64_t first_column, int64_t columns, const float* source,
            int64_t source_stride);

  // From here on the bank lies in this memory: bytes() bytes at a multiple of 64, which it keeps alive.
  void move_to(const std::shared_ptr<std::byte>& memory);

  // One output feature's row of a set: [k].
  void read_row(int64_t set, int64_t row, float* destination) const;

 private:
  [[nodiscard]] int64_t panel_stride() const { return k_ * width_; }
  [[nodiscard]] int64_t set_stride() const { return panels() * panel_stride(); }
  [[nodiscard]] int64_t bytes_of(int64_t elements) const {
    return elements * static_cast<int64_t>(element_size(dtype_));
  }
  [[nodiscard]] std::byte* at(int64_t set, int64_t panel, int64_t column) const {
    return memory_.get() + bytes_of(set * set_stride() + panel * panel_stride() + column * width_);
  }

  DType dtype_ = MOX_F32;
  int64_t width_ = 1, sets_ = 0, n_ = 0, k_ = 0;
  std::shared_ptr<std::byte> memory_;
};

}  // namespace moxie::kernels
