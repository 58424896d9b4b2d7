#include <algorithm>
#include <array>
#include <cstring>

#include "kernels/compact_layout.h"
#include "kernels/reference/reference.h"

namespace moxie::kernels::reference {
namespace {

constexpr int64_t weights_of_group = 128;

using Codes = std::array<uint8_t, 8>;  // seven bits each

struct Weights {
  const uint32_t* words;
  int64_t count;
  [[nodiscard]] uint8_t upper(int64_t i) const { return words[i / 2] >> (i % 2 * 16 + 8) & 255; }
  [[nodiscard]] uint8_t lower(int64_t i) const { return words[i / 2] >> (i % 2 * 16) & 255; }
};

Codes run_of(int first, bool zero) {
  Codes codes{};
  for (int i = 0; i < 8; ++i) codes[static_cast<size_t>(i)] = static_cast<uint8_t>(zero ? first - 1 + i : first + i);
  if (zero) codes[0] = 0;
  return codes;
}

// What is none of them gets the nearest one.
int code_of(const Codes& codes, uint8_t magnitude) { return std::clamp(magnitude - (codes[1] - 1), 0, 7); }

bool compact_by(const Codes& codes, const Weights& weights, std::byte* block) {
  CompactHeader header{};
  for (size_t i = 0; i < 16; ++i) header.upper[i] = static_cast<uint8_t>(codes[i % 8] | (i / 8 * 128));
  auto* groups = reinterpret_cast<uint8_t*>(block) + sizeof header;
  std::memset(groups, 0, static_cast<size_t>(weights.count / weights_of_group * compact_group_bytes));
  for (int64_t i = 0; i < weights.count; ++i) {
    const int64_t group = i / weights_of_group, row = i % weights_of_group / 64, of_row = i % 64;
    const int64_t place = of_row % 32 / 8 * 16 + of_row / 32 * 8 + of_row % 8;
    const uint8_t upper = weights.upper(i), magnitude = upper & 127;
    const int code = code_of(codes, magnitude) | upper / 128 * 8;
    groups[group * compact_group_bytes + place] |= static_cast<uint8_t>(code << (row * 4));
    groups[group * compact_group_bytes + (1 + row) * compact_row_bytes + place] = weights.lower(i);
    if (header.upper[code] == upper) continue;
    if (header.count == most_exceptions) return false;
    if (header.count > 0 && (header.groups >> group & 1) != 0) header.exceptions[header.count - 1].place &= 127;
    header.groups |= uint64_t{1} << group;
    header.exceptions[header.count++] = {static_cast<uint8_t>(i % weights_of_group | 128), upper};
  }
  std::memcpy(block, &header, sizeof header);
  return true;
}

int best_run(const Weights& weights, int length, int least) {
  std::array<int64_t, 128> counts{};
  for (int64_t i = 0; i < weights.count; ++i) ++counts[weights.upper(i) & 127];
  int best = least;
  int64_t most = 0;
  for (int first = least; first + length <= 128; ++first) {
    int64_t sum = 0;
    for (int i = 0; i < length; ++i) sum += counts[static_cast<size_t>(first + i)];
    if (sum > most) {
      most = sum;
      best = first;
    }
  }
  return best;
}

}  // namespace

bool compact(const uint32_t* words, int64_t groups, std::byte* block) {
  const Weights weights{words, groups * weights_of_group};
  int largest = 0;
  for (int64_t i = 0; i < weights.count; ++i) largest = std::max(largest, weights.upper(i) & 127);
  return compact_by(run_of(std::max(largest - 7, 0), false), weights, block) ||
         compact_by(run_of(std::max(largest - 6, 1), true), weights, block) ||
         compact_by(run_of(best_run(weights, 8, 0), false), weights, block) ||
         compact_by(run_of(best_run(weights, 7, 1), true), weights, block);
}

}  // namespace moxie::kernels::reference
