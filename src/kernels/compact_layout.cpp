#include "kernels/compact_layout.h"

#include "runtime/dtype.h"

namespace moxie::kernels {
namespace {

constexpr int weights_of_row = 64;  // of 32 words

// Where a weight of a row lies in its 64 bytes.
int64_t place_in_row(int weight) {
  const int half = weight / 32, within = weight % 32;
  return within / 8 * 16 + half * 8 + within % 8;
}

// Calls found(group, place, upper byte) for all exceptions of a block.
template <class Found>
void for_exceptions(const CompactHeader& block, Found found) {
  int64_t group = -1;
  bool last = true;
  for (int i = 0; i < block.count; ++i) {
    if (last) {
      do ++group;
      while ((block.groups >> group & 1) == 0);
    }
    last = block.exceptions[i].place >= 128;
    found(group, block.exceptions[i].place % 128, block.exceptions[i].upper);
  }
}

}  // namespace

void expand_compact(const CompactHeader& block, int64_t k_begin, int64_t k_end, uint32_t* words) {
  const auto* groups = reinterpret_cast<const uint8_t*>(&block + 1);
  const auto at = [&](int64_t group, int place) {
    return words + (group - k_begin / compact_group_k) * 64 + place / 2;
  };
  const int64_t first = k_begin / compact_group_k, end = compact_groups(k_end);
  for (int64_t g = first; g < end; ++g) {
    const uint8_t* codes = groups + g * compact_group_bytes;
    for (int row = 0; row < 2; ++row) {
      for (int weight = 0; weight < weights_of_row; ++weight) {
        const int64_t place = place_in_row(weight);
        const int code = codes[place] >> (row * 4) & 15;
        const uint32_t value = uint32_t{block.upper[code]} << 8 | codes[(1 + row) * compact_row_bytes + place];
        uint32_t* word = at(g, row * weights_of_row + weight);
        *word = weight % 2 == 0 ? value : *word | value << 16;
      }
    }
  }
  for_exceptions(block, [&](int64_t g, int place, uint8_t upper) {
    if (g < first || g >= end) return;
    const int shift = place % 2 * 16 + 8;
    uint32_t* word = at(g, place);
    *word = (*word & ~(0xffU << shift)) | uint32_t{upper} << shift;
  });
}

void read_compact_column(const CompactHeader& block, int64_t column, int64_t length, float* to) {
  const auto* groups = reinterpret_cast<const uint8_t*>(&block + 1);
  for (int64_t k = 0; k < length; ++k) {
    const uint8_t* codes = groups + k / compact_group_k * compact_group_bytes;
    const int64_t row = k % compact_group_k / 2, place = place_in_row(static_cast<int>(column * 2 + k % 2));
    const int code = codes[place] >> (row * 4) & 15;
    const auto value = static_cast<bfloat16>(block.upper[code] << 8 | codes[(1 + row) * compact_row_bytes + place]);
    to[k] = widen_bfloat16(value);
  }
  for_exceptions(block, [&](int64_t g, int place, uint8_t upper) {
    const int64_t k = g * compact_group_k + place / weights_of_row * 2 + place % 2;
    if (place % weights_of_row / 2 != column || k >= length) return;
    const uint8_t* codes = groups + g * compact_group_bytes;
    const int64_t row = place / weights_of_row;
    const uint8_t lower = codes[(1 + row) * compact_row_bytes + place_in_row(place % weights_of_row)];
    to[k] = widen_bfloat16(static_cast<bfloat16>(upper << 8 | lower));
  });
}

}  // namespace moxie::kernels
