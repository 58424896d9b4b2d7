// Feed-forwards and adapters of any size from made-up values. Matrices are allocated to their exact size, so that the
// address sanitizer sees whatever reads or writes beyond.
#pragma once

#include <array>
#include <cmath>
#include <deque>
#include <random>

#include "support.h"

namespace api_test {

class Values {
 public:
  explicit Values(uint32_t seed) : random_(seed) {}

  int64_t between(int64_t low, int64_t high) {
    return low + static_cast<int64_t>(random_() % static_cast<uint64_t>(high - low + 1));
  }
  std::vector<float> floats(int64_t count, float reach) {
    std::vector<float> values(static_cast<size_t>(count));
    for (float& value : values) value = (static_cast<float>(random_() >> 8) * 0x1p-23F - 1) * reach;
    return values;
  }
  // Their memory lives as long as this object.
  const float* vector(int64_t count, float reach) { return floats_.emplace_back(floats(count, reach)).data(); }
  mox_matrix matrix(int64_t rows, int64_t columns, mox_dtype dtype, float reach) {
    const std::vector<float>& values = floats_.emplace_back(floats(rows * columns, reach));
    mox_matrix matrix{values.data(), rows, columns, 0, dtype};
    if (dtype == MOX_BF16) {
      std::vector<uint16_t>& rounded = bfloats_.emplace_back();
      for (const float value : values) rounded.push_back(to_bfloat16(value));
      matrix.data = rounded.data();
    }
    return matrix;
  }

 private:
  std::mt19937 random_;
  std::deque<std::vector<float>> floats_;
  std::deque<std::vector<uint16_t>> bfloats_;
};

struct LayerShape {
  mox_feed_forward_kind kind;
  int64_t hidden, ffn;
  mox_dtype weights;
};

// What is made from a MadeUpLayer on one runtime.
struct LayerOnRuntime {
  FeedForward feed_forward;
  std::vector<Adapter> adapters;
};

class MadeUpLayer {
 public:
  MadeUpLayer(const LayerShape& shape, uint32_t seed) : shape_(shape), values_(seed) {
    const auto reach = [](int64_t width) { return 1.5F / std::sqrt(static_cast<float>(width)); };
    for (int e = 0; e < (shape.kind == MOX_FEED_FORWARD_EXPERTS ? 5 : 1); ++e) {
      mox_expert_weights expert{};
      expert.gate = values_.matrix(shape.ffn, shape.hidden, shape.weights, reach(shape.hidden));
      if (shape.kind != MOX_FEED_FORWARD_PLAIN) {
        expert.up = values_.matrix(shape.ffn, shape.hidden, shape.weights, reach(shape.hidden));
      } else {
        expert.gate_bias = values_.vector(shape.ffn, 0.5F);
        expert.down_bias = values_.vector(shape.hidden, 0.5F);
      }
      expert.down = values_.matrix(shape.hidden, shape.ffn, shape.weights, reach(shape.ffn));
      experts_.push_back(expert);
    }
    router_ = values_.matrix(static_cast<int64_t>(experts_.size()), shape.hidden, MOX_F32, 1);
  }

  // Gives the last gate values of too many magnitudes to be held compact, in rows that are not tried first. bfloat16.
  void make_unfit() {
    const mox_matrix& gate = experts_.back().gate;
    auto* const weights = const_cast<uint16_t*>(static_cast<const uint16_t*>(gate.data));
    for (int64_t i = 32 * gate.columns; i < gate.rows * gate.columns; ++i) {
      weights[i] = static_cast<uint16_t>((weights[i] & 0x80ff) | (0x26 + i * 7 % 24) << 8);
    }
  }

  // Over all linears. `experts` counts where the kind has some.
  void add_adapter(mox_adapter_kind kind, int64_t rank, int32_t experts, bool dora = false, mox_dtype dtype = MOX_F32) {
    const bool plugged_in = kind == MOX_ADAPTER_LORAMOE || kind == MOX_ADAPTER_MOLA;
    if (kind == MOX_ADAPTER_LORA) experts = 1;
    auto& projections = projections_.emplace_back();
    for (const mox_projection projection : {MOX_PROJECTION_GATE, MOX_PROJECTION_UP, MOX_PROJECTION_DOWN}) {
      if (projection == MOX_PROJECTION_UP && shape_.kind == MOX_FEED_FORWARD_PLAIN) continue;
      const bool down = projection == MOX_PROJECTION_DOWN;
      const int64_t in = down ? shape_.ffn : shape_.hidden, out = down ? shape_.hidden : shape_.ffn;
      auto& factors = factors_.emplace_back();
      for (int32_t e = 0; e < experts; ++e) {
        factors.push_back({values_.matrix(rank, in, dtype, 0.3F), values_.matrix(out, rank, dtype, 0.3F), 0.7F,
                           dora ? values_.vector(out, 2) : nullptr});
      }
      mox_adapter_projection made{projection, factors.data(), factors.size(), {}};
      if (plugged_in) made.router = values_.matrix(experts, in, MOX_F32, 0.5F);
      projections.push_back(made);
    }
    mox_adapter_description& description = descriptions_.emplace_back();
    mox_adapter_description_init(&description, sizeof(description));
    description.kind = kind;
    description.projections = projections.data();
    description.projection_count = projections.size();
    if (kind == MOX_ADAPTER_LORA) return;
    description.experts = experts;
    description.top_k = 2;
    description.top_p = 0.7F;
    description.capacity = 2;
    if (!plugged_in) description.router = values_.matrix(experts, shape_.hidden, MOX_F32, 1);
  }

  // What add_adapter() made: it lives as long as this object.
  [[nodiscard]] const mox_adapter_description& adapter(size_t index) const { return descriptions_[index]; }

  [[nodiscard]] LayerOnRuntime on(const Runtime& runtime, mox_storage storage = MOX_STORAGE_AUTO) const {
    mox_feed_forward_description description;
    mox_feed_forward_description_init(&description, sizeof(description));
    description.kind = shape_.kind;
    description.hidden = shape_.hidden;
    description.ffn = shape_.ffn;
    description.activation = MOX_ACTIVATION_SILU;
    description.storage = storage;
    description.experts = experts_.data();
    description.expert_count = static_cast<int32_t>(experts_.size());
    if (shape_.kind == MOX_FEED_FORWARD_EXPERTS) description.router = router_, description.top_k = 2;
    mox_feed_forward* made = nullptr;
    must(mox_feed_forward_create, runtime.get(), &description, &made);
    LayerOnRuntime layer{FeedForward(made), {}};
    for (const mox_adapter_description& adapter : descriptions_) {
      mox_adapter* created = nullptr;
      must(mox_adapter_create, layer.feed_forward.get(), &adapter, &created);
      layer.adapters.emplace_back(created);
    }
    return layer;
  }

 private:
  LayerShape shape_;
  Values values_;
  std::vector<mox_expert_weights> experts_;
  mox_matrix router_{};
  std::deque<std::vector<mox_lora_factors>> factors_;
  std::deque<std::vector<mox_adapter_projection>> projections_;
  std::deque<mox_adapter_description> descriptions_;
};

}  // namespace api_test
