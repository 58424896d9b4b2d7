// Feed-forwards with made-up weights, for measuring speed.
#pragma once

#include <cstdint>
#include <vector>

#include "cli/handles.h"

namespace moxie::cli {

struct FfnShape {
  int64_t hidden = 4096;
  int64_t ffn = 14336;
  int32_t experts = 8;  // 1: dense
  int32_t top_k = 2;
  mox_dtype weights = MOX_BF16;
  mox_storage storage = MOX_STORAGE_AUTO;

  int64_t expert_bytes() const { return 3 * hidden * ffn * static_cast<int64_t>(mox_dtype_size(weights)); }
};

// Uniform, so that products with a row keep the size of what they are multiplied with; the same on every machine.
struct SyntheticMatrix {
  SyntheticMatrix(int64_t rows, int64_t columns, mox_dtype dtype, uint64_t seed);

  std::vector<float> floats;      // one of the two holds the values
  std::vector<uint16_t> bfloats;  // bfloat16
  mox_matrix matrix{};
};

// Uniform in -reach .. reach, the same on every machine.
std::vector<float> random_values(int64_t count, float reach, uint64_t seed);

// All experts are given the same values, so that only one of them is held twice; each is packed by itself, so that as
// much memory is read as with real ones.
FeedForward synthetic_feed_forward(const Runtime& runtime, const FfnShape& shape);

}  // namespace moxie::cli
