// A whole feed-forward by the emulation of AMX's tiles, on any machine: what the stages hand to a product, and what
// they make of its sums, holds for tiles too.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <random>
#include <vector>

#include "adapter/factors.h"
#include "kernels/entries.h"
#include "moe/feed_forward.h"
#include "moe/tiling.h"
#include "runtime/executor.h"

namespace moxie::moe {
namespace {

using kernels::Choice;
using kernels::Kernels;
using kernels::PackedMatrix;
using kernels::Storage;

constexpr int64_t hidden = 170, ffn = 550, padded_hidden = padded(hidden);

class Values {
 public:
  std::vector<float> floats(int64_t count, float reach) {
    std::uniform_real_distribution<float> distribution(-reach, reach);
    std::vector<float> result(static_cast<size_t>(count));
    for (float& value : result) value = distribution(random_);
    return result;
  }

 private:
  std::mt19937 random_{1};
};

Linear linear(const std::vector<float>& weights, int64_t out, int64_t in, Storage storage) {
  Linear result;
  result.weight = PackedMatrix(MOX_BF16, out, in, storage);
  result.weight.pack_rows(0, out, weights.data(), MOX_F32, in);
  return result;
}

adapter::Router router(Values* values, mox_router_kind kind, int32_t experts) {
  adapter::Router result;
  result.kind = kind;
  result.experts = experts;
  result.top_k = 2;
  result.in = hidden;
  result.set_gate(values->floats(experts * hidden, 1));
  return result;
}

adapter::LoraSets sets(Values* values, int64_t in, int64_t out, int32_t count) {
  adapter::LinearFactors factors;
  factors.in = in;
  factors.out = out;
  factors.rank = 9;
  factors.scaling = 2;
  for (int32_t i = 0; i < count; ++i) {
    factors.pairs.push_back({values->floats(9 * in, 0.1F), values->floats(out * 9, 0.1F), {}});
  }
  return adapter::pack_sets(factors, nullptr, {}, MOX_INVALID_ARGUMENT);
}

adapter::FeedForwardAdapter lora(Values* values, int32_t experts) {
  adapter::FeedForwardAdapter result;
  if (experts > 1) result.router = router(values, MOX_ROUTER_MIXLORA, experts);
  result.gate = sets(values, hidden, ffn, experts);
  result.up = sets(values, hidden, ffn, experts);
  result.down = sets(values, ffn, hidden, experts);
  return result;
}

// The same base with its weights held plain and compact, and rows of three ranges.
struct Layer {
  FeedForward plain, compact;
  adapter::FeedForwardAdapter mixlora, one;
  std::vector<float> x;
  int64_t rows;

  Layer(int experts, int64_t count) : rows(count) {
    Values values;
    for (FeedForward* base : {&plain, &compact}) {
      base->hidden = hidden;
      base->ffn = ffn;
    }
    const auto add = [&](int64_t out, int64_t in, Linear Expert::*member) {
      const std::vector<float> weights = values.floats(out * in, 1.5F / std::sqrt(static_cast<float>(in)));
      plain.experts.back().*member = linear(weights, out, in, Storage::kPlain);
      compact.experts.back().*member = linear(weights, out, in, Storage::kCompact);
    };
    for (int e = 0; e < experts; ++e) {
      plain.experts.emplace_back();
      compact.experts.emplace_back();
      add(ffn, hidden, &Expert::gate);
      add(ffn, hidden, &Expert::up);
      add(hidden, ffn, &Expert::down);
    }
    if (experts > 1) {
      plain.router = router(&values, MOX_ROUTER_TOP_K, experts);
      compact.router = plain.router;
    } else {
      mixlora = lora(&values, 4);
      one = lora(&values, 1);
    }
    x = values.floats(rows * hidden, 1);
  }
};

// Rows [first, end) of the layer.
std::vector<float> run(const Layer& layer, const FeedForward& base, const Kernels& products, int threads, int64_t first,
                       int64_t end) {
  const int64_t rows = end - first;
  std::vector<FeedForwardRange> ranges{{0, rows, nullptr}};
  if (!layer.one.empty()) {
    const int64_t third = layer.rows / 3;
    const auto within = [&](int64_t row) { return std::clamp<int64_t>(row - first, 0, rows); };
    ranges.clear();
    for (const FeedForwardRange range : {FeedForwardRange{0, third, &layer.mixlora},
                                         {third, 2 * third, &layer.one},
                                         {2 * third, layer.rows, nullptr}}) {
      if (within(range.begin) == within(range.end)) continue;
      ranges.push_back({within(range.begin), within(range.end), range.adapter});
    }
  }
  std::vector<float> y(static_cast<size_t>(rows * padded_hidden), std::numeric_limits<float>::quiet_NaN());
  FeedForwardCall call;
  call.x = layer.x.data() + first * hidden;
  call.ldx = hidden;
  call.rows = rows;
  call.y = y.data();
  call.ldy = padded_hidden;
  call.ranges = ranges;
  Choice choice;
  choice.f32 = choice.small = &kernels::entries::portable;
  choice.bf16 = &products;
  Placement placement;
  placement.threads = threads;
  Executor executor(placement);
  executor.run([&](Team& team, Workspace& workspace) {
    run_feed_forward(Context{team, workspace, choice}, base, call);
  });
  std::vector<float> result;
  for (int64_t row = 0; row < rows; ++row) {
    const auto begin = y.begin() + row * padded_hidden;
    result.insert(result.end(), begin, begin + hidden);
  }
  return result;
}

void expect_same_bits(const std::vector<float>& found, const float* wanted) {
  ASSERT_EQ(std::memcmp(found.data(), wanted, found.size() * sizeof(float)), 0);
}

class LayerOfTilesTest : public testing::TestWithParam<int> {};

TEST_P(LayerOfTilesTest, AgreeWithTheTwinAndWithThemselves) {
  const Kernels& tiles = kernels::entries::amx_emulated;
  for (const int64_t rows : {1, 7, 40, 70}) {
    SCOPED_TRACE(testing::Message() << rows << " rows");
    const Layer layer(GetParam(), rows);
    const std::vector<float> found = run(layer, layer.plain, tiles, 2, 0, rows);
    const std::vector<float> wanted = run(layer, layer.plain, kernels::entries::reference, 1, 0, rows);
    // The sums' order differs, and h is rounded to bfloat16 on both sides.
    double difference = 0, norm = 0;
    for (size_t i = 0; i < wanted.size(); ++i) {
      difference += std::pow(static_cast<double>(found[i]) - wanted[i], 2);
      norm += std::pow(static_cast<double>(wanted[i]), 2);
    }
    EXPECT_LE(std::sqrt(difference), 1e-3 * std::sqrt(norm));
    expect_same_bits(run(layer, layer.compact, tiles, 1, 0, rows), found.data());
    const int64_t first = rows / 4, end = rows - rows / 5;
    expect_same_bits(run(layer, layer.compact, tiles, 2, first, end), found.data() + first * hidden);
  }
}

INSTANTIATE_TEST_SUITE_P(Experts, LayerOfTilesTest, testing::Values(1, 5));

}  // namespace
}  // namespace moxie::moe
