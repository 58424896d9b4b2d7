#include "kernels/factor_bank.h"

#include <algorithm>
#include <bit>
#include <limits>
#include <new>

#include "runtime/huge_memory.h"

namespace moxie::kernels {
namespace {

size_t bank_bytes(DType dtype, int64_t width, int64_t sets, int64_t n, int64_t k) {
  const size_t size = element_size(dtype);
  int64_t padded = 0, elements = 0;
  if (__builtin_add_overflow(n, width - 1, &padded) || __builtin_mul_overflow(padded / width * width, k, &elements) ||
      __builtin_mul_overflow(elements, sets, &elements) ||
      elements > std::numeric_limits<int64_t>::max() / static_cast<int64_t>(size)) {
    throw std::bad_alloc();
  }
  return static_cast<size_t>(elements) * size;
}

bfloat16 upper_half(float value) { return static_cast<bfloat16>(std::bit_cast<uint32_t>(value) >> 16); }

}  // namespace

FactorBank::FactorBank(DType dtype, int64_t width, int64_t sets, int64_t n, int64_t k)
    : dtype_(dtype),
      width_(width),
      sets_(sets),
      n_(n),
      k_(k),
      memory_(zeroed_memory(bank_bytes(dtype, width, sets, n, k))) {}

void FactorBank::pack(int64_t set, int64_t first_row, int64_t rows, int64_t first_column, int64_t columns,
                      const float* source, int64_t source_stride) {
  for (int64_t r = 0; r < rows; ++r) {
    const int64_t row = first_row + r;
    const float* from = source + r * source_stride;
    std::byte* panel = at(set, row / width_, first_column);
    if (dtype_ == MOX_BF16) {
      auto* to = reinterpret_cast<bfloat16*>(panel) + row % width_;
      for (int64_t c = 0; c < columns; ++c) to[c * width_] = upper_half(from[c]);
    } else {
      auto* to = reinterpret_cast<float*>(panel) + row % width_;
      for (int64_t c = 0; c < columns; ++c) to[c * width_] = from[c];
    }
  }
}

void FactorBank::move_to(const std::shared_ptr<std::byte>& memory) {
  std::copy_n(memory_.get(), bytes(), memory.get());
  memory_ = memory;
}

void FactorBank::read_row(int64_t set, int64_t row, float* destination) const {
  const std::byte* panel = at(set, row / width_, 0);
  if (dtype_ == MOX_BF16) {
    const auto* from = reinterpret_cast<const bfloat16*>(panel) + row % width_;
    for (int64_t c = 0; c < k_; ++c) destination[c] = widen_bfloat16(from[c * width_]);
  } else {
    const auto* from = reinterpret_cast<const float*>(panel) + row % width_;
    for (int64_t c = 0; c < k_; ++c) destination[c] = from[c * width_];
  }
}

}  // namespace moxie::kernels
