// Router, activation, softmax, RMS norm, rounding: accuracy, and the same bits on every instruction set.
#include <algorithm>

#include "support.h"

namespace moxie::kernels::test {
namespace {

class SmallOperationsTest : public testing::TestWithParam<const Kernels*> {};

double exact(mox_activation activation, double x) {
  switch (activation) {
    case MOX_ACTIVATION_SILU:
      return x / (1 + std::exp(-x));
    case MOX_ACTIVATION_GELU:
      return 0.5 * x * std::erfc(-x / std::sqrt(2.0));
    case MOX_ACTIVATION_GELU_TANH:
      return x / (1 + std::exp(-2 * std::sqrt(2 / 3.14159265358979323846) * (x + 0.044715 * x * x * x)));
    default:
      return std::max(x, 0.0);
  }
}

// Units of the last place beside which the result may lie: a few, and in the far tail of the gelus, where the result
// is e^-(x^2/2) times x, the rounding of the exponent, which grows with it. Below the smallest normal number: absolute.
double allowed(mox_activation activation, double x, double y) {
  double units = 6;
  if (activation == MOX_ACTIVATION_GELU && x < 0) units += x * x;
  if (activation == MOX_ACTIVATION_GELU_TANH && x < 0) units += 4 * std::abs(x + 0.044715 * x * x * x);
  return units * epsilon * std::abs(y) + 4e-45 * (1 + std::abs(x));
}

std::vector<float> points() {
  std::vector<float> x;
  for (int i = -40000; i <= 40000; ++i) x.push_back(static_cast<float>(i) * 0.0025F);
  for (float value = 1e-38F; value < 1e30F; value *= 1.7F) {
    x.push_back(value);
    x.push_back(-value);
  }
  x.push_back(0.0F);
  return x;
}

float one_activation(const Kernels& kernels, mox_activation activation, float x) {
  float y = 0;
  kernels.activate(activation, &x, nullptr, 1, 1, &y, false);
  return y;
}

TEST_P(SmallOperationsTest, ActivationsAreAccurate) {
  // The twin is plain float32: 1 + tanh loses digits below zero, and so it is measured against what it adds up.
  const bool plain = GetParam()->backend == MOX_BACKEND_REFERENCE;
  for (const mox_activation activation :
       {MOX_ACTIVATION_SILU, MOX_ACTIVATION_GELU, MOX_ACTIVATION_GELU_TANH, MOX_ACTIVATION_RELU}) {
    const std::vector<float> x = points();
    std::vector<float> y(x.size());
    GetParam()->activate(activation, x.data(), nullptr, 1, static_cast<int64_t>(x.size()), y.data(), false);
    for (size_t i = 0; i < x.size(); ++i) {
      const double want = exact(activation, x[i]);
      const double limit = allowed(activation, x[i], plain ? x[i] : want);
      ASSERT_NEAR(y[i], want, limit) << "activation " << activation << " of " << x[i];
    }
  }
}

TEST_P(SmallOperationsTest, ActivationsOfSpecialNumbers) {
  constexpr float infinity = std::numeric_limits<float>::infinity();
  for (const mox_activation activation : {MOX_ACTIVATION_SILU, MOX_ACTIVATION_GELU, MOX_ACTIVATION_GELU_TANH}) {
    EXPECT_EQ(one_activation(*GetParam(), activation, infinity), infinity) << activation;
    EXPECT_TRUE(std::isnan(one_activation(*GetParam(), activation, not_a_number))) << activation;
    EXPECT_EQ(one_activation(*GetParam(), activation, 0.0F), 0.0F) << activation;
  }
}

TEST_P(SmallOperationsTest, ActivateWeighsMultipliesAndAdds) {
  std::mt19937 generator(21);
  for (const int64_t count : {1, 3, 15, 16, 17, 31, 33, 100, 1000}) {
    const std::vector<float> gate = random_floats(generator, count, 4), up = random_floats(generator, count, 4);
    for (const bool accumulate : {false, true}) {
      for (const float* factor : {static_cast<const float*>(nullptr), up.data()}) {
        std::vector<float> h(static_cast<size_t>(count) + 1, 2.0F);
        GetParam()->activate(MOX_ACTIVATION_SILU, gate.data(), factor, 0.75F, count, h.data(), accumulate);
        EXPECT_EQ(h.back(), 2.0F) << "written behind the end";
        for (size_t i = 0; i < static_cast<size_t>(count); ++i) {
          const double product = 0.75 * exact(MOX_ACTIVATION_SILU, gate[i]) * (factor != nullptr ? up[i] : 1.0);
          EXPECT_NEAR(h[i], product + (accumulate ? 2.0 : 0.0), 10 * epsilon * (std::abs(product) + 2));
        }
      }
    }
  }
}

// However many stand side by side, and whatever stands beside a number.
TEST_P(SmallOperationsTest, AnActivationIsItsOwn) {
  constexpr float infinity = std::numeric_limits<float>::infinity();
  std::mt19937 generator(26);
  for (const mox_activation activation :
       {MOX_ACTIVATION_SILU, MOX_ACTIVATION_GELU, MOX_ACTIVATION_GELU_TANH, MOX_ACTIVATION_RELU}) {
    std::vector<float> gate = random_floats(generator, 150, 120);
    for (const float special : {infinity, -infinity, not_a_number, 0.0F, -0.0F, 1e-45F, 3e38F}) {
      gate[static_cast<size_t>(random_between(generator, 0, 149))] = special;
    }
    std::vector<float> h(gate.size());
    GetParam()->activate(activation, gate.data(), nullptr, 1.0F, static_cast<int64_t>(gate.size()), h.data(), false);
    for (size_t i = 0; i < gate.size(); ++i) {
      const float alone = one_activation(*GetParam(), activation, gate[i]);
      ASSERT_EQ(std::isnan(h[i]), std::isnan(alone)) << activation << " of " << gate[i];
      if (std::isnan(alone)) continue;
      ASSERT_EQ(bits_of(h[i]), bits_of(alone)) << activation << " of " << gate[i];
    }
  }
}

TEST_P(SmallOperationsTest, AddAddsAndMayWriteToWhatItReads) {
  std::mt19937 generator(27);
  for (const int64_t count : {0, 1, 3, 15, 16, 17, 31, 33, 100, 1000}) {
    const std::vector<float> a = random_floats(generator, count, 4), b = random_floats(generator, count, 4);
    std::vector<float> sum(static_cast<size_t>(count) + 1, 2.0F), in_place = a;
    GetParam()->add(a.data(), b.data(), count, sum.data());
    GetParam()->add(in_place.data(), b.data(), count, in_place.data());
    EXPECT_EQ(sum.back(), 2.0F) << "written behind the end";
    for (size_t i = 0; i < a.size(); ++i) {
      ASSERT_EQ(bits_of(sum[i]), bits_of(a[i] + b[i]));
      ASSERT_EQ(bits_of(in_place[i]), bits_of(a[i] + b[i]));
    }
  }
}

// Of two numbers, one of them 0, softmax is e^x / (1 + e^x): its ratio shows the exponential.
TEST_P(SmallOperationsTest, ExponentialIsAccurate) {
  for (int i = 0; i <= 87000; i += 7) {
    const float x[2] = {0, static_cast<float>(-i) / 1000};
    float p[2];
    GetParam()->softmax(x, 2, p);
    const double want = std::exp(double{x[1]});
    ASSERT_NEAR(double{p[1]} / double{p[0]}, want, 4 * epsilon * want + 3e-45) << x[1];
  }
}

TEST_P(SmallOperationsTest, SoftmaxSumsToOneAndSurvivesLargeNumbers) {
  std::mt19937 generator(22);
  for (const int64_t count : {1, 2, 7, 8, 15, 16, 17, 33, 64, 130, 5000}) {
    std::vector<float> x = random_floats(generator, count, 20);
    for (float& value : x) value += 1e4F;
    std::vector<float> p(static_cast<size_t>(count) + 1, -1.0F);
    GetParam()->softmax(x.data(), count, p.data());
    EXPECT_EQ(p.back(), -1.0F) << "written behind the end";
    const double largest = *std::max_element(x.begin(), x.end());
    double sum = 0;
    for (const float value : x) sum += std::exp(value - largest);
    for (size_t i = 0; i < x.size(); ++i) {
      const double want = std::exp(x[i] - largest) / sum;
      EXPECT_NEAR(p[i], want, (6 + std::sqrt(static_cast<double>(count))) * epsilon * want + 1e-44);
    }
    std::vector<float> in_place = x;
    GetParam()->softmax(in_place.data(), count, in_place.data());
    for (size_t i = 0; i < x.size(); ++i) EXPECT_EQ(bits_of(in_place[i]), bits_of(p[i]));
  }
}

TEST_P(SmallOperationsTest, RmsNormIsAccurate) {
  std::mt19937 generator(23);
  for (const int64_t count : {1, 5, 16, 31, 64, 100, 2048, 4097}) {
    const std::vector<float> x = random_floats(generator, count, 3), weight = random_floats(generator, count);
    std::vector<float> y(static_cast<size_t>(count) + 1, -9.0F);
    GetParam()->rms_norm(x.data(), weight.data(), 1e-5, count, y.data());
    EXPECT_EQ(y.back(), -9.0F) << "written behind the end";
    double sum = 0;
    for (const float value : x) sum += double{value} * value;
    const double scale = 1 / std::sqrt(sum / static_cast<double>(count) + 1e-5);
    for (size_t i = 0; i < x.size(); ++i) {
      const double want = x[i] * scale * weight[i];
      EXPECT_NEAR(y[i], want, (4 + std::sqrt(static_cast<double>(count) / 16)) * epsilon * std::abs(want));
    }
  }
}

TEST_P(SmallOperationsTest, RouterAgreesWithDoublePrecisionAndItsTwinBitForBit) {
  std::mt19937 generator(24);
  for (int i = 0; i < 100; ++i) {
    // Every tenth is longer than a piece of the rows; the others are of every small size.
    const int64_t most = i % 10 == 0 ? 1300 : 130;
    const int64_t rows = random_between(generator, 1, 20), experts = random_between(generator, 1, 130);
    const int64_t k = random_between(generator, 1, most), ldx = k + 2, stride = k + 3, ld = experts + 1;
    const std::vector<float> x = random_floats(generator, rows * ldx - 2);
    const std::vector<float> gate = random_floats(generator, experts * stride - 3);
    std::vector<float> found(static_cast<size_t>(rows * ld), -5.0F), expected = found;
    GetParam()->router(x.data(), ldx, rows, gate.data(), stride, experts, k, found.data(), ld);
    twin().router(x.data(), ldx, rows, gate.data(), stride, experts, k, expected.data(), ld);
    ASSERT_EQ(std::memcmp(found.data(), expected.data(), found.size() * sizeof(float)), 0)
        << rows << " rows, " << experts << " experts, k " << k;
    for (int64_t row = 0; row < rows; ++row) {
      for (int64_t e = 0; e < experts; ++e) {
        double sum = 0;
        for (int64_t j = 0; j < k; ++j) {
          sum += double{x[static_cast<size_t>(row * ldx + j)]} * gate[static_cast<size_t>(e * stride + j)];
        }
        ASSERT_NEAR(found[static_cast<size_t>(row * ld + e)], sum, 4 * epsilon * static_cast<double>(k));
      }
    }
  }
}

TEST_P(SmallOperationsTest, RoundsToBfloat16LikeTheScalarFunction) {
  std::mt19937 generator(25);
  std::vector<float> x = {0.0F,
                          -0.0F,
                          1e-45F,
                          3.4e38F,
                          -3.4028235e38F,
                          not_a_number,
                          std::numeric_limits<float>::infinity(),
                          -std::numeric_limits<float>::infinity()};
  for (const uint32_t half : {0x3f808000U, 0x3f818000U, 0x00008000U, 0x00018000U, 0x7f800001U, 0xffffffffU}) {
    float value;
    std::memcpy(&value, &half, sizeof value);
    x.push_back(value);
  }
  for (int i = 0; i < 100003; ++i) {
    const auto bits = static_cast<uint32_t>(generator());
    float value;
    std::memcpy(&value, &bits, sizeof value);
    x.push_back(value);
  }
  std::vector<bfloat16> y(x.size() + 1, 0x1234);
  GetParam()->to_bfloat16(x.data(), static_cast<int64_t>(x.size()), y.data());
  EXPECT_EQ(y.back(), 0x1234) << "written behind the end";
  for (size_t i = 0; i < x.size(); ++i) ASSERT_EQ(y[i], round_to_bfloat16(x[i])) << std::hex << bits_of(x[i]);
}

// Everything that decides or that stands between products has the same bits on every instruction set. (The twin takes
// its exponential from the C library.)
class EveryLevelTest : public testing::TestWithParam<const Kernels*> {};

std::vector<const Kernels*> entries_but_the_twin() {
  std::vector<const Kernels*> result = usable_entries();
  std::erase_if(result, [](const Kernels* kernels) { return kernels->backend == MOX_BACKEND_REFERENCE; });
  return result;
}

TEST_P(EveryLevelTest, HasTheSameBits) {
  const Kernels& portable = *choose(MOX_ISA_PORTABLE, MOX_BACKEND_NATIVE).small;
  std::mt19937 generator(26);
  const auto compare = [&](const std::vector<float>& x) {
    const auto count = static_cast<int64_t>(x.size());
    const std::vector<float> weight = random_floats(generator, count);
    std::vector<float> found(x.size()), expected(x.size());
    const auto same = [&](const char* what) {
      for (size_t i = 0; i < x.size(); ++i) {
        ASSERT_EQ(bits_of(found[i]), bits_of(expected[i])) << what << x[i] << ", " << i << " of " << count;
      }
    };
    for (const mox_activation activation : {MOX_ACTIVATION_SILU, MOX_ACTIVATION_GELU, MOX_ACTIVATION_GELU_TANH}) {
      GetParam()->activate(activation, x.data(), weight.data(), 0.3F, count, found.data(), false);
      portable.activate(activation, x.data(), weight.data(), 0.3F, count, expected.data(), false);
      same("activate ");
    }
    GetParam()->softmax(x.data(), count, found.data());
    portable.softmax(x.data(), count, expected.data());
    same("softmax ");
    GetParam()->rms_norm(x.data(), weight.data(), 1e-6, count, found.data());
    portable.rms_norm(x.data(), weight.data(), 1e-6, count, expected.data());
    same("rms_norm ");
  };
  // Exponentials of the wider ones end among the subnormal numbers and beyond them.
  for (const int64_t count : {1, 7, 16, 31, 129, 1000}) {
    for (const float reach : {30.0F, 120.0F}) compare(random_floats(generator, count, reach));
  }
  compare(points());
}

INSTANTIATE_TEST_SUITE_P(Kernels, SmallOperationsTest, testing::ValuesIn(usable_entries()), name_of_entry);
INSTANTIATE_TEST_SUITE_P(Kernels, EveryLevelTest, testing::ValuesIn(entries_but_the_twin()), name_of_entry);

}  // namespace
}  // namespace moxie::kernels::test
