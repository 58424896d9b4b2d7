// Sizes that fit no vector, panel or tile: hidden widths 1 to 130 with any width inside, rank and number of rows, dense
// under several adapters at once and as a bank of experts, against the reference backend.
#include <cmath>

#include "made_up_layer.h"

namespace api_test {
namespace {

// What a batch makes of the input: base and adapters, a range each.
std::vector<float> run(const LayerOnRuntime& layer, const std::vector<float>& input, int64_t rows) {
  std::vector<mox_range> ranges;
  const auto count = static_cast<int64_t>(layer.adapters.size()) + 1;
  for (int64_t i = 0; i < count; ++i) {
    const mox_range range{i == 0 ? nullptr : layer.adapters[static_cast<size_t>(i - 1)].get(), rows * i / count,
                          rows * (i + 1) / count};
    if (range.begin < range.end) ranges.push_back(range);
  }
  std::vector<float> output(input.size());
  const mox_batch batch = batch_of(rows, input.data(), output.data(), ranges);
  must(mox_feed_forward_run, layer.feed_forward.get(), &batch, nullptr, nullptr);
  return output;
}

class Sizes : public testing::TestWithParam<NamedMachine> {};

TEST_P(Sizes, AgreeWithReference) {
  const Runtime runtime = make_runtime(2, GetParam().machine);
  const Runtime reference = make_runtime(1, {MOX_ISA_BEST, MOX_BACKEND_REFERENCE});
  Values sizes(7);
  const int64_t step = GetParam().slow() ? 3 : 1;
  for (int64_t hidden = 1; hidden <= 130; hidden += step) {
    for (const mox_dtype weights : {MOX_F32, MOX_BF16}) {
      for (const bool bank : {false, true}) {
        const LayerShape shape{bank ? MOX_FEED_FORWARD_EXPERTS : MOX_FEED_FORWARD_GATED, hidden, sizes.between(1, 200),
                               weights};
        const int64_t rank = sizes.between(1, 20), rows = sizes.between(1, 70);
        SCOPED_TRACE(testing::Message() << "hidden " << hidden << ", ffn " << shape.ffn << ", rank " << rank
                                        << ", rows " << rows << (weights == MOX_BF16 ? ", bf16" : ", f32")
                                        << (bank ? ", bank" : ""));
        MadeUpLayer layer(shape, static_cast<uint32_t>(hidden));
        if (!bank) {
          for (const auto kind : {MOX_ADAPTER_LORA, MOX_ADAPTER_MIXLORA, MOX_ADAPTER_LORAMOE}) {
            layer.add_adapter(kind, rank, 4);
          }
        }
        const std::vector<float> input = sizes.floats(rows * hidden, 2);
        const std::vector<float> expected = run(layer.on(reference), input, rows);
        const std::vector<float> found = run(layer.on(runtime), input, rows);
        // Rounding h to bfloat16 may go the other way where sums differ in their last bit.
        const float limit = weights == MOX_BF16 ? 2e-3F : 1e-5F;
        for (size_t i = 0; i < expected.size(); ++i) {
          ASSERT_NEAR(found[i], expected[i], limit * (1 + std::abs(expected[i]))) << "element " << i;
        }
      }
    }
  }
}

TEST_P(Sizes, CompactWeightsGiveTheBitsOfPlainOnes) {
  const Runtime runtime = make_runtime(2, GetParam().machine);
  Values sizes(8);
  for (int64_t hidden = 20; hidden <= 600; hidden += GetParam().slow() ? 193 : 83) {
    for (const bool bank : {false, true}) {
      const LayerShape shape{bank ? MOX_FEED_FORWARD_EXPERTS : MOX_FEED_FORWARD_GATED, hidden, sizes.between(64, 400),
                             MOX_BF16};
      const int64_t rows = sizes.between(1, 70);
      const std::vector<float> input = sizes.floats(rows * hidden, 2);
      MadeUpLayer layer(shape, static_cast<uint32_t>(hidden));
      if (!bank) {
        layer.add_adapter(MOX_ADAPTER_LORA, 3, 1, true);
        layer.add_adapter(MOX_ADAPTER_MIXLORA, 3, 4);
      }
      int64_t bytes_that_fit = 0;
      for (const bool unfit : {false, true}) {
        SCOPED_TRACE(testing::Message() << "hidden " << hidden << ", ffn " << shape.ffn << ", rows " << rows
                                        << (bank ? ", bank" : "") << (unfit ? ", one does not fit" : ""));
        if (unfit) layer.make_unfit();
        const LayerOnRuntime plain = layer.on(runtime, MOX_STORAGE_PLAIN);
        const LayerOnRuntime compact = layer.on(runtime, MOX_STORAGE_COMPACT);
        const int64_t bytes = describe(compact.feed_forward).compact_bytes;
        EXPECT_EQ(describe(plain.feed_forward).compact_bytes, 0);
        EXPECT_GT(bytes, 0);
        if (unfit) {
          EXPECT_LT(bytes, bytes_that_fit);
        }
        bytes_that_fit = bytes;
        ASSERT_EQ(bits_of(run(compact, input, rows)), bits_of(run(plain, input, rows)));
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Machines, Sizes, testing::ValuesIn(machines()),
                         [](const testing::TestParamInfo<NamedMachine>& machine) { return machine.param.name; });

}  // namespace
}  // namespace api_test
