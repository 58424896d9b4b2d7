#include "kernels/cache_layout.h"

#include <algorithm>
#include <cstring>

#include "kernels/kernels.h"

namespace moxie::kernels {
namespace {

// Elements from the first key, or the first value, to that of a position and a dimension.
int64_t key_at(DType dtype, int64_t position, int64_t i) {
  return dtype == MOX_F32 ? i * cache_block + position : (i / 2 * cache_block + position) * 2 + i % 2;
}

int64_t value_at(DType dtype, int64_t width, int64_t position, int64_t i) {
  return dtype == MOX_F32 ? position * width + i : (position / 2 * width + i) * 2 + position % 2;
}

float read(DType dtype, const std::byte* from, int64_t at) {
  if (dtype == MOX_F32) {
    float value = 0;
    std::memcpy(&value, from + at * 4, sizeof value);
    return value;
  }
  bfloat16 bits = 0;
  std::memcpy(&bits, from + at * 2, sizeof bits);
  return widen_bfloat16(bits);
}

}  // namespace

int64_t padded_head(int64_t head_dim) { return (head_dim + 15) / 16 * 16; }

int64_t attend_state(int64_t head_dim) { return 32 + padded_head(head_dim); }

Segments segments_of(const Attend& a) {
  const int64_t begin = a.window > 0 ? std::max<int64_t>(0, a.first + 1 - a.window) : 0;
  return {begin / attend_segment_length, (a.first + a.rows - 1) / attend_segment_length + 1};
}

int64_t CacheLayout::bytes() const {
  return cache_block * padded_head(head_dim) * static_cast<int64_t>(element_size(dtype));
}

void CacheLayout::write_keys(std::byte* keys, int64_t begin, int64_t count, const float* rows, int64_t ld) const {
  if (dtype == MOX_F32) {
    auto* to = reinterpret_cast<float*>(keys) + begin;
    for (int64_t i = 0; i < head_dim; ++i) {
      for (int64_t p = 0; p < count; ++p) to[i * cache_block + p] = rows[p * ld + i];
    }
    return;
  }
  auto* to = reinterpret_cast<bfloat16*>(keys);
  for (int64_t i = 0; i < head_dim; ++i) {
    for (int64_t p = 0; p < count; ++p) to[key_at(dtype, begin + p, i)] = round_to_bfloat16(rows[p * ld + i]);
  }
}

void CacheLayout::write_values(std::byte* values, int64_t begin, int64_t count, const float* rows, int64_t ld) const {
  const int64_t width = padded_head(head_dim);
  for (int64_t p = 0; p < count; ++p) {
    const float* from = rows + p * ld;
    if (dtype == MOX_F32) {
      std::copy_n(from, head_dim, reinterpret_cast<float*>(values) + (begin + p) * width);
      continue;
    }
    bfloat16* to = reinterpret_cast<bfloat16*>(values) + value_at(dtype, width, begin + p, 0);
    for (int64_t i = 0; i < head_dim; ++i) to[2 * i] = round_to_bfloat16(from[i]);
  }
}

float CacheLayout::key(const std::byte* keys, int64_t position, int64_t i) const {
  return read(dtype, keys, key_at(dtype, position, i));
}

float CacheLayout::value(const std::byte* values, int64_t position, int64_t i) const {
  return read(dtype, values, value_at(dtype, padded_head(head_dim), position, i));
}

}  // namespace moxie::kernels
