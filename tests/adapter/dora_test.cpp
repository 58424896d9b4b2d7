// DoRA's quotients over a linear of several panels, on any number of threads.
#include "adapter/dora.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "adapter_folders.h"

namespace moxie::test {
namespace {

using adapter::Factors;
using adapter::LinearFactors;

class DoraTest : public testing::TestWithParam<int> {
 protected:
  static constexpr int64_t out = 300, in = 41;  // ten panels, the last one not whole
  static constexpr int32_t rank = 3;
  static constexpr size_t plain_pair = 1;  // has no magnitude

  DoraTest() : values_(repeatable_values("w", out * in)), weight_(MOX_F32, out, in) {
    weight_.pack_rows(0, out, values_.data(), MOX_F32, in);
    factors.where = "here";
    factors.in = in;
    factors.out = out;
    factors.rank = rank;
    factors.scaling = 0.5F;
    for (size_t index = 0; index < 3; ++index) {
      const std::string name = std::to_string(index);
      factors.pairs.push_back({repeatable_values("a" + name, rank * in), repeatable_values("b" + name, out * rank),
                               index == plain_pair ? std::vector<float>{} : repeatable_values("m" + name, out)});
    }
  }

  [[nodiscard]] std::vector<std::vector<float>> rescale(int threads) const {
    return dora_rescale(factors, weight_, {kernels::choose(MOX_ISA_BEST, MOX_BACKEND_AUTO).small, threads},
                        MOX_INVALID_FILE);
  }

  [[nodiscard]] double norm(const Factors& pair, int64_t row) const {
    double squares = 0;
    for (int64_t column = 0; column < in; ++column) {
      double value = values_[static_cast<size_t>(row * in + column)];
      for (int64_t j = 0; j < rank; ++j) {
        value += 0.5 * pair.b[static_cast<size_t>(row * rank + j)] * pair.a[static_cast<size_t>(j * in + column)];
      }
      squares += value * value;
    }
    return std::sqrt(squares);
  }

  LinearFactors factors;

 private:
  std::vector<float> values_;
  kernels::PackedMatrix weight_;
};

TEST_P(DoraTest, DividesEveryMagnitudeByItsRowsNorm) {
  const auto found = rescale(GetParam());
  EXPECT_EQ(found, rescale(1));
  ASSERT_EQ(found.size(), factors.pairs.size());
  for (size_t index = 0; index < found.size(); ++index) {
    const Factors& pair = factors.pairs[index];
    ASSERT_EQ(found[index].size(), static_cast<size_t>(out));
    for (size_t row = 0; row < static_cast<size_t>(out); ++row) {
      const double expected = index == plain_pair ? 1 : pair.magnitude[row] / norm(pair, static_cast<int64_t>(row));
      ASSERT_FLOAT_EQ(found[index][row], static_cast<float>(expected)) << index << ", row " << row;
    }
  }
}

TEST_P(DoraTest, NamesTheFirstRowThatHasNoQuotient) {
  const auto spoil = [&](size_t index, size_t row) {
    factors.pairs[index].magnitude[row] = std::numeric_limits<float>::infinity();
  };
  spoil(2, 5);
  spoil(0, 299);
  spoil(0, 170);
  expect_refusal([&] { (void)rescale(GetParam()); }, MOX_INVALID_FILE, {"here: magnitude", "of expert 0 in row 170"});
}

INSTANTIATE_TEST_SUITE_P(Threads, DoraTest, testing::Values(1, 2, 3, 7, 40));

}  // namespace
}  // namespace moxie::test
