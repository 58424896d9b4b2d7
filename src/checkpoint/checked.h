// Integer arithmetic on figures out of files: an overflow is an answer, not an accident.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

namespace moxie::checkpoint {

inline std::optional<int64_t> checked_multiply(int64_t a, int64_t b) {
  int64_t result = 0;
  if (__builtin_mul_overflow(a, b, &result)) return std::nullopt;
  return result;
}

inline std::optional<int64_t> checked_add(int64_t a, int64_t b) {
  int64_t result = 0;
  if (__builtin_add_overflow(a, b, &result)) return std::nullopt;
  return result;
}

// Product of the dimensions times the element size. Dimensions must not be negative. A zero anywhere makes zero, but
// dimensions whose product without it overflows are refused all the same.
inline std::optional<int64_t> checked_bytes(const std::vector<int64_t>& shape, int64_t element_size) {
  int64_t product = element_size;
  bool empty = false;
  for (const int64_t dimension : shape) {
    if (dimension < 0) return std::nullopt;
    if (dimension == 0) {
      empty = true;
      continue;
    }
    const auto next = checked_multiply(product, dimension);
    if (!next) return std::nullopt;
    product = *next;
  }
  return empty ? 0 : product;
}

}  // namespace moxie::checkpoint
