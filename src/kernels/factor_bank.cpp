#include "kernels/factor_bank.h"

#include <limits>
#include <new>

#include "runtime/huge_memory.h"

namespace moxie::kernels {
namespace {

size_t bank_bytes(int64_t width, int64_t sets, int64_t n, int64_t k) {
  int64_t padded = 0, floats = 0;
  if (__builtin_add_overflow(n, width - 1, &padded) || __builtin_mul_overflow(padded / width * width, k, &floats) ||
      __builtin_mul_overflow(floats, sets, &floats) ||
      floats > std::numeric_limits<int64_t>::max() / static_cast<int64_t>(sizeof(float))) {
    throw std::bad_alloc();
  }
  return static_cast<size_t>(floats) * sizeof(float);
}

}  // namespace

FactorBank::FactorBank(int64_t width, int64_t sets, int64_t n, int64_t k)
    : width_(width), sets_(sets), n_(n), k_(k), memory_(zeroed_memory(bank_bytes(width, sets, n, k))) {}

void FactorBank::pack(int64_t set, int64_t first_row, int64_t rows, int64_t first_column, int64_t columns,
                      const float* source, int64_t source_stride) {
  auto* floats = reinterpret_cast<float*>(memory_.get()) + set * set_stride();
  for (int64_t r = 0; r < rows; ++r) {
    const int64_t row = first_row + r;
    float* to = floats + row / width_ * panel_stride() + first_column * width_ + row % width_;
    for (int64_t c = 0; c < columns; ++c) to[c * width_] = source[r * source_stride + c];
  }
}

void FactorBank::read_row(int64_t set, int64_t row, float* destination) const {
  const float* from = panels_of(set, row / width_, row / width_ + 1).first + row % width_;
  for (int64_t c = 0; c < k_; ++c) destination[c] = from[c * width_];
}

}  // namespace moxie::kernels
