// Another adapter on every few rows: a tile then needs more factors than stay in a cache, and is finished while the
// next one is multiplied. Every range must still get the bits it gets alone.
#include <cmath>
#include <numeric>

#include "made_up_layer.h"

namespace api_test {
namespace {

// Several column blocks, the last one narrow; several tiles of rows.
constexpr int64_t hidden = 160, ffn = 300, rank = 16, rows = 300;
constexpr int32_t experts = 8;
constexpr int kinds = 7, adapters_of_a_kind = 6;

MadeUpLayer layer_of(mox_feed_forward_kind kind, mox_dtype weights) {
  MadeUpLayer layer({kind, hidden, ffn, weights}, 3);
  for (int i = 0; i < adapters_of_a_kind; ++i) {
    const mox_dtype factors = i % 3 == 1 ? MOX_BF16 : MOX_F32;
    for (const auto adapter : {MOX_ADAPTER_LORA, MOX_ADAPTER_MIXLORA, MOX_ADAPTER_MIXLORA_DYNAMIC,
                               MOX_ADAPTER_MIXLORA_SWITCH, MOX_ADAPTER_LORAMOE, MOX_ADAPTER_MOLA}) {
      layer.add_adapter(adapter, rank, experts, false, factors);
    }
    layer.add_adapter(MOX_ADAPTER_MIXLORA, rank, experts, true, factors);
  }
  return layer;
}

// Ranges of 1 to 3 rows in turns with long ones, so that tiles with many factors stand beside others with few.
std::vector<mox_range> ranges_over(const LayerOnRuntime& layer, Values& values) {
  std::vector<mox_range> ranges;
  for (int64_t begin = 0; begin < rows;) {
    const bool long_one = begin >= 130 && begin < 256;
    const int64_t end = std::min(rows, begin + (long_one ? values.between(30, 60) : values.between(1, 3)));
    const int64_t adapter = values.between(0, static_cast<int64_t>(layer.adapters.size()));
    const size_t last = layer.adapters.size();
    ranges.push_back(
        {adapter == static_cast<int64_t>(last) ? nullptr : layer.adapters[static_cast<size_t>(adapter)].get(), begin,
         end});
    begin = end;
  }
  return ranges;
}

std::vector<uint32_t> run(const LayerOnRuntime& layer, const float* input, int64_t count,
                          const std::vector<mox_range>& ranges) {
  std::vector<float> output(static_cast<size_t>(count * hidden));
  const mox_batch batch = batch_of(count, input, output.data(), ranges);
  must(mox_feed_forward_run, layer.feed_forward.get(), &batch, nullptr, nullptr);
  return bits_of(output);
}

class ManyAdapters : public testing::TestWithParam<NamedMachine> {};

TEST_P(ManyAdapters, GiveEveryRangeTheBitsItHasAlone) {
  for (const mox_feed_forward_kind kind : {MOX_FEED_FORWARD_GATED, MOX_FEED_FORWARD_PLAIN}) {
    for (const mox_dtype weights : {MOX_F32, MOX_BF16}) {
      SCOPED_TRACE(testing::Message() << (kind == MOX_FEED_FORWARD_PLAIN ? "plain, " : "gated, ")
                                      << (weights == MOX_BF16 ? "bfloat16" : "float32"));
      const MadeUpLayer made_up = layer_of(kind, weights);
      Values values(17);
      const std::vector<float> input = values.floats(rows * hidden, 2);
      for (const int32_t threads : {3, 1, 2}) {
        const Runtime runtime = make_runtime(threads, GetParam().machine);
        const LayerOnRuntime layer = made_up.on(runtime);
        ASSERT_EQ(layer.adapters.size(), static_cast<size_t>(kinds * adapters_of_a_kind));
        const std::vector<mox_range> ranges = ranges_over(layer, values);
        const std::vector<uint32_t> together = run(layer, input.data(), rows, ranges);
        for (const mox_range& range : ranges) {
          const int64_t count = range.end - range.begin;
          const std::vector<uint32_t> alone =
              run(layer, input.data() + range.begin * hidden, count, {{range.adapter, 0, count}});
          for (int64_t i = 0; i < count * hidden; ++i) {
            ASSERT_EQ(together[static_cast<size_t>(range.begin * hidden + i)], alone[static_cast<size_t>(i)])
                << threads << " threads, row " << range.begin + i / hidden << ", column " << i % hidden;
          }
        }
        if (GetParam().slow()) break;
      }
    }
  }
}

// Large factors that few rows use are read before the tiles are made, and beside the tiles where many do. Tiles are
// then wider, the fewer threads the more.
TEST_P(ManyAdapters, GiveARowTheBitsItHasAmongMany) {
  constexpr int64_t wide_hidden = 2080, wide_ffn = 2200, many = 40;
  MadeUpLayer made_up({MOX_FEED_FORWARD_GATED, wide_hidden, wide_ffn, MOX_BF16}, 4);
  for (const auto adapter : {MOX_ADAPTER_LORA, MOX_ADAPTER_MIXLORA, MOX_ADAPTER_LORAMOE, MOX_ADAPTER_MOLA}) {
    made_up.add_adapter(adapter, rank, experts);
  }
  for (const auto adapter : {MOX_ADAPTER_LORA, MOX_ADAPTER_MIXLORA}) {
    made_up.add_adapter(adapter, rank, experts, true);
    made_up.add_adapter(adapter, 2 * rank, experts, false, MOX_BF16);  // as large in bytes
  }
  Values values(18);
  const int64_t count = GetParam().slow() ? 5 : many;
  const std::vector<float> input = values.floats(count * wide_hidden, 2);
  for (const int32_t threads : {2, 1}) {
    const Runtime runtime = make_runtime(threads, GetParam().machine);
    const LayerOnRuntime layer = made_up.on(runtime);
    const auto run_wide = [&](const std::vector<mox_range>& ranges) {
      std::vector<float> output(static_cast<size_t>(count * wide_hidden));
      const mox_batch batch = batch_of(count, input.data(), output.data(), ranges);
      must(mox_feed_forward_run, layer.feed_forward.get(), &batch, nullptr, nullptr);
      return bits_of(output);
    };
    for (size_t i = 0; i < layer.adapters.size(); ++i) {
      const mox_adapter* adapter = layer.adapters[i].get();
      std::vector<mox_range> apart;
      for (int64_t row = 0; row < count; ++row) apart.push_back({adapter, row, row + 1});
      ASSERT_EQ(run_wide(apart), run_wide({{adapter, 0, count}})) << "adapter " << i << ", " << threads << " threads";
    }
    if (GetParam().slow()) break;
  }
}

// The same factors, and one feature more that adds zero, which alone keeps A or B from being held in bfloat16.
class HeldWide {
 public:
  HeldWide(const mox_lora_factors& narrow, bool a)
      : a_(widened(narrow.a, narrow.a.rows + 1, narrow.a.columns)),
        b_(widened(narrow.b, narrow.b.rows, narrow.b.columns + 1)) {
    constexpr float no_bfloat16 = 0.1F;
    if (a) a_.back() = no_bfloat16;
    if (!a) b_.back() = no_bfloat16;
    factors_ = {{a_.data(), narrow.a.rows + 1, narrow.a.columns, 0, MOX_F32},
                {b_.data(), narrow.b.rows, narrow.b.columns + 1, 0, MOX_F32},
                narrow.scaling,
                nullptr};
  }
  [[nodiscard]] const mox_lora_factors& factors() const { return factors_; }

 private:
  static std::vector<float> widened(const mox_matrix& narrow, int64_t to_rows, int64_t to_columns) {
    std::vector<float> wide(static_cast<size_t>(to_rows * to_columns));
    const auto* from = static_cast<const uint16_t*>(narrow.data);
    for (int64_t i = 0; i < narrow.rows * narrow.columns; ++i) {
      wide[static_cast<size_t>(i / narrow.columns * to_columns + i % narrow.columns)] = from_bfloat16(from[i]);
    }
    return wide;
  }

  std::vector<float> a_, b_;
  mox_lora_factors factors_{};
};

TEST_P(ManyAdapters, HeldInBfloat16GiveTheValuesOfFloat32) {
  constexpr int64_t count = 33;
  MadeUpLayer made_up({MOX_FEED_FORWARD_GATED, hidden, ffn, MOX_BF16}, 5);
  made_up.add_adapter(MOX_ADAPTER_LORA, rank - 1, 1, false, MOX_BF16);
  Values values(19);
  const std::vector<float> input = values.floats(count * hidden, 2);
  const Runtime runtime = make_runtime(2, GetParam().machine);
  const LayerOnRuntime layer = made_up.on(runtime);
  const auto output_under = [&](const mox_adapter* adapter) {
    std::vector<float> output(static_cast<size_t>(count * hidden));
    const std::vector<mox_range> ranges{{adapter, 0, 1}, {adapter, 1, count}};
    const mox_batch batch = batch_of(count, input.data(), output.data(), ranges);
    must(mox_feed_forward_run, layer.feed_forward.get(), &batch, nullptr, nullptr);
    return output;
  };
  const std::vector<float> expected = output_under(layer.adapters[0].get());
  const int64_t narrow_bytes = describe(layer.adapters[0]).bytes;
  for (const bool a : {true, false}) {
    std::deque<HeldWide> held;
    mox_adapter_description description = made_up.adapter(0);
    std::vector<mox_adapter_projection> projections(description.projections,
                                                    description.projections + description.projection_count);
    for (mox_adapter_projection& projection : projections) {
      projection.factors = &held.emplace_back(*projection.factors, a).factors();
    }
    description.projections = projections.data();
    mox_adapter* created = nullptr;
    must(mox_adapter_create, layer.feed_forward.get(), &description, &created);
    const Adapter wide(created);
    EXPECT_GT(describe(wide).bytes, narrow_bytes * 4 / 3) << "is not held in float32";
    EXPECT_EQ(output_under(created), expected) << (a ? "A" : "B") << " in float32";
  }
}

INSTANTIATE_TEST_SUITE_P(Machines, ManyAdapters, testing::ValuesIn(machines()),
                         [](const testing::TestParamInfo<NamedMachine>& machine) { return machine.param.name; });

}  // namespace
}  // namespace api_test
