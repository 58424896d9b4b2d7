#include "cli/synthetic.h"

#include <bit>
#include <cmath>

namespace moxie::cli {
namespace {

// splitmix64 (Steele, Lea and Flood, 2014)
uint64_t next(uint64_t& state) {
  uint64_t z = state += 0x9E3779B97F4A7C15;
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
  return z ^ (z >> 31);
}

}  // namespace

SyntheticMatrix::SyntheticMatrix(int64_t rows, int64_t columns, mox_dtype dtype, uint64_t seed)
    : floats(random_values(rows * columns, std::sqrt(3.0f / static_cast<float>(columns)), seed)) {
  matrix = {floats.data(), rows, columns, 0, dtype};
  if (dtype == MOX_F32) return;
  bfloats.reserve(floats.size());
  for (float value : floats) bfloats.push_back(static_cast<uint16_t>(std::bit_cast<uint32_t>(value) >> 16));
  floats = {};
  matrix.data = bfloats.data();
}

std::vector<float> random_values(int64_t count, float reach, uint64_t seed) {
  std::vector<float> values(static_cast<size_t>(count));
  for (auto& value : values) value = (static_cast<float>(next(seed) >> 40) * 0x1p-23f - 1) * reach;
  return values;
}

FeedForward synthetic_feed_forward(const Runtime& runtime, const FfnShape& shape) {
  const SyntheticMatrix gate(shape.ffn, shape.hidden, shape.weights, 1);
  const SyntheticMatrix up(shape.ffn, shape.hidden, shape.weights, 2);
  const SyntheticMatrix down(shape.hidden, shape.ffn, shape.weights, 3);
  const SyntheticMatrix router(shape.experts, shape.hidden, MOX_F32, 4);
  mox_expert_weights expert{};
  expert.gate = gate.matrix;
  expert.up = up.matrix;
  expert.down = down.matrix;
  const std::vector<mox_expert_weights> experts(static_cast<size_t>(shape.experts), expert);
  auto description = defaults(mox_feed_forward_description_init);
  description.kind = shape.experts > 1 ? MOX_FEED_FORWARD_EXPERTS : MOX_FEED_FORWARD_GATED;
  description.hidden = shape.hidden;
  description.ffn = shape.ffn;
  description.activation = MOX_ACTIVATION_SILU;
  description.experts = experts.data();
  description.expert_count = shape.experts;
  description.storage = shape.storage;
  if (shape.experts > 1) {
    description.router = router.matrix;
    description.top_k = shape.top_k;
  }
  return make<FeedForward>(mox_feed_forward_create, runtime.get(), &description);
}

}  // namespace moxie::cli
