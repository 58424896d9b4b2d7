// Element types, strides, and output over the input.
#include <algorithm>
#include <limits>

#include "support.h"

namespace api_test {
namespace {

constexpr int64_t rows = 7;

class Dtypes : public testing::TestWithParam<const char*> {
 protected:
  Dtypes() {
    hidden_ = describe(feed_forward_).hidden;
    input_ = random_rows(rows, hidden_, 3);
    for (float& value : input_) value = from_bfloat16(to_bfloat16(value));  // so that both types hold the same numbers
    output_.resize(input_.size());
    mox_batch batch = batch_of(rows, input_.data(), output_.data(), ranges_);
    must(mox_feed_forward_run, feed_forward_.get(), &batch, nullptr, nullptr);
  }

  [[nodiscard]] std::vector<uint16_t> narrow(const std::vector<float>& values) const {
    std::vector<uint16_t> result;
    for (const float value : values) result.push_back(to_bfloat16(value));
    return result;
  }

  // Rows `stride` apart, `filling` between them.
  template <typename T>
  [[nodiscard]] std::vector<T> spread(const std::vector<T>& values, int64_t stride, T filling) const {
    std::vector<T> result(static_cast<size_t>(rows * stride), filling);
    for (int64_t row = 0; row < rows; ++row) {
      std::copy_n(values.begin() + row * hidden_, hidden_, result.begin() + row * stride);
    }
    return result;
  }

  void run(const void* input, mox_dtype input_dtype, int64_t input_stride, void* output, mox_dtype output_dtype,
           int64_t output_stride) {
    mox_batch batch = batch_of(rows, nullptr, nullptr, ranges_);
    batch.input = input;
    batch.input_dtype = input_dtype;
    batch.input_stride = input_stride;
    batch.output = output;
    batch.output_dtype = output_dtype;
    batch.output_stride = output_stride;
    must(mox_feed_forward_run, feed_forward_.get(), &batch, nullptr, nullptr);
  }

  Runtime runtime_ = make_runtime(2);
  FeedForward feed_forward_ = open_feed_forward(runtime_, parity_base(GetParam()), 0);
  Adapter mixlora_ = open_adapter(feed_forward_, parity_adapter("h48-mixlora-top2-e8"));
  std::vector<mox_range> ranges_{{nullptr, 4, rows}, {mixlora_.get(), 0, 4}};
  int64_t hidden_ = 0;
  std::vector<float> input_, output_;  // float32, contiguous: what all others are compared with
};

TEST_P(Dtypes, Bfloat16Input) {
  const std::vector<uint16_t> input = narrow(input_);
  std::vector<float> output(output_.size());
  run(input.data(), MOX_BF16, 0, output.data(), MOX_F32, 0);
  EXPECT_EQ(bits_of(output), bits_of(output_));
}

TEST_P(Dtypes, Bfloat16OutputIsRoundedOnce) {
  std::vector<uint16_t> output(output_.size());
  run(input_.data(), MOX_F32, 0, output.data(), MOX_BF16, 0);
  EXPECT_EQ(output, narrow(output_));
}

TEST_P(Dtypes, Bfloat16OnBothSidesInPlace) {
  std::vector<uint16_t> both = narrow(input_);
  run(both.data(), MOX_BF16, 0, both.data(), MOX_BF16, 0);
  EXPECT_EQ(both, narrow(output_));
}

TEST_P(Dtypes, Float32InPlace) {
  std::vector<float> both = input_;
  run(both.data(), MOX_F32, 0, both.data(), MOX_F32, 0);
  EXPECT_EQ(bits_of(both), bits_of(output_));
}

TEST_P(Dtypes, StridesAreKeptAndWhatIsBetweenIsLeft) {
  const int64_t in = hidden_ + 5;
  const int64_t out = hidden_ + 3;
  const std::vector<float> input = spread(input_, in, std::numeric_limits<float>::quiet_NaN());
  std::vector<float> output(static_cast<size_t>(rows * out), -77.0F);
  run(input.data(), MOX_F32, in, output.data(), MOX_F32, out);
  EXPECT_EQ(bits_of(output), bits_of(spread(output_, out, -77.0F)));
}

TEST_P(Dtypes, Bfloat16WithStrides) {
  const int64_t in = hidden_ + 1;  // odd: rows are not aligned to four bytes
  const int64_t out = hidden_ + 7;
  const std::vector<uint16_t> input = spread(narrow(input_), in, uint16_t{0x7fc0});
  std::vector<uint16_t> output(static_cast<size_t>(rows * out), 0x7777);
  run(input.data(), MOX_BF16, in, output.data(), MOX_BF16, out);
  EXPECT_EQ(output, spread(narrow(output_), out, uint16_t{0x7777}));
}

TEST_P(Dtypes, UnalignedRows) {
  // Elements are aligned, vectors are not: begin one element into a buffer.
  std::vector<float> input(input_.size() + 1);
  std::copy(input_.begin(), input_.end(), input.begin() + 1);
  std::vector<float> output(output_.size() + 1, -77.0F);
  run(input.data() + 1, MOX_F32, 0, output.data() + 1, MOX_F32, 0);
  EXPECT_EQ(output.front(), -77.0F);
  EXPECT_EQ(bits_of({output.begin() + 1, output.end()}), bits_of(output_));
}

// Weights widened to float32 are exact, so on a float32 base AS_STORED and F32 are the same.
TEST_P(Dtypes, WeightsAsAsked) {
  for (const mox_weights weights : {MOX_WEIGHTS_F32, MOX_WEIGHTS_BF16}) {
    mox_load_options options;
    mox_load_options_init(&options, sizeof(options));
    options.weights = weights;
    mox_feed_forward* raw = nullptr;
    must(mox_feed_forward_open, runtime_.get(), parity_base(GetParam()).c_str(), 0, &options, &raw);
    const FeedForward asked(raw);
    const mox_dtype expected = weights == MOX_WEIGHTS_F32 ? MOX_F32 : MOX_BF16;
    EXPECT_EQ(describe(asked).weights, expected);

    std::vector<float> output(output_.size());
    const std::vector<mox_range> all{{nullptr, 0, rows}};
    mox_batch batch = batch_of(rows, input_.data(), output.data(), all);
    must(mox_feed_forward_run, asked.get(), &batch, nullptr, nullptr);
    // Rows 4 and on ran under the plain base above.
    const std::vector<float> found(output.begin() + 4 * hidden_, output.end());
    const std::vector<float> stored(output_.begin() + 4 * hidden_, output_.end());
    EXPECT_EQ(bits_of(found) == bits_of(stored), describe(feed_forward_).weights == expected);
  }
}

TEST_P(Dtypes, MappedFilesGiveTheSame) {
  mox_load_options options;
  mox_load_options_init(&options, sizeof(options));
  options.map_files = 1;
  mox_feed_forward* raw = nullptr;
  must(mox_feed_forward_open, runtime_.get(), parity_base(GetParam()).c_str(), 0, &options, &raw);
  const FeedForward mapped(raw);
  std::vector<float> output(output_.size());
  const std::vector<mox_range> all{{nullptr, 0, rows}};
  mox_batch batch = batch_of(rows, input_.data(), output.data(), all);
  must(mox_feed_forward_run, mapped.get(), &batch, nullptr, nullptr);
  EXPECT_TRUE(std::equal(output.begin() + 4 * hidden_, output.end(), output_.begin() + 4 * hidden_));
}

INSTANTIATE_TEST_SUITE_P(Bases, Dtypes, testing::Values("llama-h48-float32", "llama-h48-bfloat16"),
                         [](const auto& tested) {
                           std::string name = tested.param;
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

// A block takes and gives both types too.
TEST(BlockDtypes, Bfloat16InAndOut) {
  const Runtime runtime = make_runtime(2);
  mox_block* raw = nullptr;
  must(mox_block_open, runtime.get(), parity_base("llama-h48-float32").c_str(), 1, nullptr, &raw);
  const Block block(raw);
  const int64_t hidden = mox_block_hidden(block.get());
  ASSERT_EQ(hidden, 48);
  std::vector<float> input = random_rows(rows, hidden, 9);
  std::vector<uint16_t> narrow_input;
  for (float& value : input) {
    narrow_input.push_back(to_bfloat16(value));
    value = from_bfloat16(narrow_input.back());
  }
  const auto run = [&](const void* in, void* out, void* after, int64_t stride, mox_dtype dtype) {
    mox_sequence* sequence = nullptr;
    must(mox_sequence_create_for_block, block.get(), nullptr, &sequence);
    const Sequence owner(sequence);
    const mox_block_step step{sequence, nullptr, in, out, after, rows, stride, dtype};
    must(mox_block_run, block.get(), &step, size_t{1}, nullptr);
    EXPECT_EQ(mox_sequence_length(sequence), rows);
  };
  std::vector<float> output(input.size()), after(input.size());
  run(input.data(), output.data(), after.data(), 0, MOX_F32);
  std::vector<uint16_t> narrow_output(input.size()), narrow_after(input.size());
  run(narrow_input.data(), narrow_output.data(), narrow_after.data(), hidden, MOX_BF16);
  for (size_t i = 0; i < output.size(); ++i) {
    ASSERT_EQ(narrow_output[i], to_bfloat16(output[i])) << i;
    ASSERT_EQ(narrow_after[i], to_bfloat16(after[i])) << i;
  }
  std::vector<float> without(input.size());
  run(input.data(), without.data(), nullptr, 0, MOX_F32);
  EXPECT_EQ(bits_of(without), bits_of(output));
}

}  // namespace
}  // namespace api_test
