#include "moe/decide.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <numeric>
#include <random>
#include <vector>

namespace moxie::moe {
namespace {

using testing::ElementsAre;
using testing::Pointwise;

template <typename T>
struct Decision {
  std::vector<int32_t> experts;
  std::vector<T> weights;
};

template <typename T>
Decision<T> decide(const RouterSettings& settings, const std::vector<T>& logits) {
  // One element more than promised on each side: nothing may be written there.
  const auto count = static_cast<size_t>(places(settings));
  std::vector<int32_t> experts(count + 2, -77);
  std::vector<T> weights(count + 2, T{-77});
  std::vector<T> scratch(logits.size() + 1, T{-77});
  decide_row(settings, logits.data(), experts.data() + 1, weights.data() + 1, scratch.data());
  EXPECT_EQ(experts.front(), -77);
  EXPECT_EQ(experts.back(), -77);
  EXPECT_EQ(weights.front(), T{-77});
  EXPECT_EQ(weights.back(), T{-77});
  EXPECT_EQ(scratch.back(), T{-77});
  return {{experts.begin() + 1, experts.end() - 1}, {weights.begin() + 1, weights.end() - 1}};
}

RouterSettings settings_of(mox_router_kind kind, int32_t experts, int32_t top_k = 0, float top_p = 0,
                           float temperature = 0) {
  return {kind, experts, top_k, top_p, temperature};
}

// Logits whose softmax is exactly what one writes down.
std::vector<double> logits_of(std::vector<double> probabilities) {
  for (double& p : probabilities) p = std::log(p);
  return probabilities;
}

MATCHER_P(Within, tolerance, "") {
  return std::abs(static_cast<double>(std::get<0>(arg)) - static_cast<double>(std::get<1>(arg))) <= tolerance;
}

TEST(Places, AreThoseOfTheRoutingTable) {
  EXPECT_EQ(places(settings_of(MOX_ROUTER_TOP_K, 8, 2)), 2);
  EXPECT_EQ(places(settings_of(MOX_ROUTER_MIXLORA, 8, 3)), 3);
  EXPECT_EQ(places(settings_of(MOX_ROUTER_MOLA, 8, 1)), 1);
  EXPECT_EQ(places(settings_of(MOX_ROUTER_DYNAMIC, 8)), 8);
  EXPECT_EQ(places(settings_of(MOX_ROUTER_LORAMOE, 8)), 8);
  EXPECT_EQ(places(settings_of(MOX_ROUTER_SWITCH, 8)), 1);
}

TEST(Finite, SeesEveryElement) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const float infinity = std::numeric_limits<float>::infinity();
  for (const float bad : {nan, infinity, -infinity}) {
    for (size_t at = 0; at < 5; ++at) {
      std::vector<float> row(5, 1.0F);
      EXPECT_TRUE(finite(row.data(), 5));
      row[at] = bad;
      EXPECT_FALSE(finite(row.data(), 5)) << bad << " at " << at;
    }
  }
}

TEST(TopK, TakesSoftmaxOverTheChosen) {
  const auto result = decide(settings_of(MOX_ROUTER_TOP_K, 4, 2), std::vector<double>{0, 3, 1, 2});
  EXPECT_THAT(result.experts, ElementsAre(1, 3));
  const double likelier = 1 / (1 + std::exp(-1.0));
  EXPECT_THAT(result.weights, Pointwise(Within(1e-15), {likelier, 1 - likelier}));
}

TEST(TopK, StandsLargeLogits) {
  const auto result = decide(settings_of(MOX_ROUTER_TOP_K, 3, 2), std::vector<float>{3e38F, -3e38F, 2e38F});
  EXPECT_THAT(result.experts, ElementsAre(0, 2));
  EXPECT_THAT(result.weights, ElementsAre(1.0F, 0.0F));
}

TEST(MixLora, RenormalisesTheMostProbable) {
  const auto logits = logits_of({0.1, 0.4, 0.2, 0.3});
  for (const auto kind : {MOX_ROUTER_MIXLORA, MOX_ROUTER_MOLA}) {
    const auto result = decide(settings_of(kind, 4, 2), logits);
    EXPECT_THAT(result.experts, ElementsAre(1, 3));
    EXPECT_THAT(result.weights, Pointwise(Within(1e-15), {4.0 / 7, 3.0 / 7}));
  }
}

TEST(MixLora, OneExpertOfOne) {
  const auto result = decide(settings_of(MOX_ROUTER_MIXLORA, 1, 1), std::vector<float>{-5.0F});
  EXPECT_THAT(result.experts, ElementsAre(0));
  EXPECT_THAT(result.weights, ElementsAre(1.0F));
}

TEST(MixLora, TopOneWeighsOne) {
  const auto result = decide(settings_of(MOX_ROUTER_MIXLORA, 3, 1), std::vector<float>{0.1F, 0.3F, 0.2F});
  EXPECT_THAT(result.experts, ElementsAre(1));
  EXPECT_THAT(result.weights, ElementsAre(1.0F));
}

TEST(Ties, GoToTheLowerIndex) {
  const std::vector<float> logits{1, 2, 2, 2, 1, 2};
  EXPECT_THAT(decide(settings_of(MOX_ROUTER_TOP_K, 6, 3), logits).experts, ElementsAre(1, 2, 3));
  EXPECT_THAT(decide(settings_of(MOX_ROUTER_MIXLORA, 6, 5), logits).experts, ElementsAre(1, 2, 3, 5, 0));
  EXPECT_THAT(decide(settings_of(MOX_ROUTER_MOLA, 6, 6), logits).experts, ElementsAre(1, 2, 3, 5, 0, 4));
  EXPECT_THAT(decide(settings_of(MOX_ROUTER_DYNAMIC, 6, 0, 1.0F), logits).experts, ElementsAre(1, 2, 3, 5, 0, 4));
  EXPECT_THAT(decide(settings_of(MOX_ROUTER_SWITCH, 6), logits).experts, ElementsAre(1));
  EXPECT_THAT(decide(settings_of(MOX_ROUTER_LORAMOE, 6), logits).experts, ElementsAre(0, 1, 2, 3, 4, 5));
}

TEST(TopK, IsTheHeadOfAStableSort) {
  for (const int32_t experts : {31, 64, 100, 512}) {
    std::vector<float> logits(static_cast<size_t>(experts));
    for (size_t i = 0; i < logits.size(); ++i) logits[i] = static_cast<float>(i * 37 % 29);
    std::vector<int32_t> sorted(logits.size());
    std::iota(sorted.begin(), sorted.end(), 0);
    std::stable_sort(sorted.begin(), sorted.end(), [&](int32_t a, int32_t b) {
      return logits[static_cast<size_t>(a)] > logits[static_cast<size_t>(b)];
    });
    for (const int32_t count : {1, 2, 8, 30, 31, 32, 33, 63, 64, 99, 100, 511, 512}) {
      if (count > experts) continue;
      EXPECT_THAT(decide(settings_of(MOX_ROUTER_TOP_K, experts, count), logits).experts,
                  testing::ElementsAreArray(sorted.begin(), sorted.begin() + count))
          << count << " of " << experts;
    }
  }
}

// In float32 the least likely probabilities underflow: they are equal then, and nobody may read rubbish there.
TEST(Ties, UnderflowIsATieInProbability) {
  const std::vector<float> logits{-300, 0, -200, -250};
  const auto mixlora = decide(settings_of(MOX_ROUTER_MIXLORA, 4, 3), logits);
  EXPECT_THAT(mixlora.experts, ElementsAre(1, 0, 2));
  EXPECT_THAT(mixlora.weights, ElementsAre(1.0F, 0.0F, 0.0F));
  EXPECT_THAT(decide(settings_of(MOX_ROUTER_TOP_K, 4, 3), logits).experts, ElementsAre(1, 2, 3));
}

TEST(Dynamic, TheFirstOverPIsTaken) {
  const auto logits = logits_of({0.125, 0.5, 0.25, 0.125});
  // 0.5 is not over 0.5: the next is taken too, and takes the sum over p.
  const auto half = decide(settings_of(MOX_ROUTER_DYNAMIC, 4, 0, 0.5F), logits);
  EXPECT_THAT(half.experts, ElementsAre(1, 2, -1, -1));
  EXPECT_THAT(half.weights, Pointwise(Within(1e-15), {0.5, 0.25, 0.0, 0.0}));
  EXPECT_THAT(decide(settings_of(MOX_ROUTER_DYNAMIC, 4, 0, 0.49F), logits).experts, ElementsAre(1, -1, -1, -1));
  EXPECT_THAT(decide(settings_of(MOX_ROUTER_DYNAMIC, 4, 0, 0.8F), logits).experts, ElementsAre(1, 2, 0, -1));
}

TEST(Dynamic, TemperatureDividesProbabilities) {
  const auto logits = logits_of({0.125, 0.5, 0.25, 0.125});
  // Cold: 0.5 / 0.5 = 1 exceeds p at once.
  const auto cold = decide(settings_of(MOX_ROUTER_DYNAMIC, 4, 0, 0.9F, 0.5F), logits);
  EXPECT_THAT(cold.experts, ElementsAre(1, -1, -1, -1));
  EXPECT_THAT(cold.weights, Pointwise(Within(1e-15), {1.0, 0.0, 0.0, 0.0}));
  // Hot: the sum of all is 0.5, which p never sees exceeded: every expert.
  const auto hot = decide(settings_of(MOX_ROUTER_DYNAMIC, 4, 0, 0.5F, 2.0F), logits);
  EXPECT_THAT(hot.experts, ElementsAre(1, 2, 0, 3));
  EXPECT_THAT(hot.weights, Pointwise(Within(1e-15), {0.25, 0.125, 0.0625, 0.0625}));
}

TEST(Dynamic, PAtOneTakesEveryExpert) {
  std::mt19937 random(7);
  std::uniform_real_distribution<float> draw(-6, 6);
  for (int repeat = 0; repeat < 200; ++repeat) {
    std::vector<float> logits(64);
    for (float& logit : logits) logit = draw(random);
    const auto result = decide(settings_of(MOX_ROUTER_DYNAMIC, 64, 0, 1.0F), logits);
    EXPECT_GE(*std::min_element(result.experts.begin(), result.experts.end()), 0);
  }
}

TEST(Dynamic, TinyPTakesOne) {
  const auto result = decide(settings_of(MOX_ROUTER_DYNAMIC, 3, 0, 1e-30F), std::vector<float>{1, 2, 3});
  EXPECT_THAT(result.experts, ElementsAre(2, -1, -1));
}

TEST(Switch, WeighsByProbability) {
  const auto result = decide(settings_of(MOX_ROUTER_SWITCH, 3), logits_of({0.2, 0.7, 0.1}));
  EXPECT_THAT(result.experts, ElementsAre(1));
  EXPECT_THAT(result.weights, Pointwise(Within(1e-15), {0.7}));
}

TEST(LoraMoe, WeighsEveryExpert) {
  const auto result = decide(settings_of(MOX_ROUTER_LORAMOE, 3), logits_of({0.2, 0.7, 0.1}));
  EXPECT_THAT(result.experts, ElementsAre(0, 1, 2));
  EXPECT_THAT(result.weights, Pointwise(Within(1e-15), {0.2, 0.7, 0.1}));
}

TEST(Capacity, CountsOnAcrossParts) {
  const std::vector<int32_t> chosen{0, 1, 0, 0, 2, 1, 1, 0};
  std::vector<int32_t> whole = chosen;
  std::vector<int64_t> served(3, 0);
  apply_capacity(2, 8, whole.data(), served.data());
  EXPECT_THAT(whole, ElementsAre(0, 1, 0, -1, 2, 1, -1, -1));
  EXPECT_THAT(served, ElementsAre(4, 3, 1));

  for (int64_t cut = 0; cut <= 8; ++cut) {
    std::vector<int32_t> parts = chosen;
    std::vector<int64_t> so_far(3, 0);
    apply_capacity(2, cut, parts.data(), so_far.data());
    apply_capacity(2, 8 - cut, parts.data() + cut, so_far.data());
    EXPECT_EQ(parts, whole) << "cut at " << cut;
  }
}

// The plain way, in float64: sort everything. `ids` in order, `weights` of the likeliest.
template <typename T>
std::vector<int32_t> sorted(const std::vector<T>& scores) {
  std::vector<int32_t> order(scores.size());
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](int32_t a, int32_t b) {
    return scores[static_cast<size_t>(a)] > scores[static_cast<size_t>(b)];
  });
  return order;
}

class AgainstSorting : public testing::TestWithParam<int32_t> {};

TEST_P(AgainstSorting, AnyNumberOfExperts) {
  const int32_t experts = GetParam();
  std::mt19937 random(static_cast<uint32_t>(experts));
  // Few distinct values: ties abound.
  std::uniform_int_distribution<int> draw(-12, 12);
  for (int repeat = 0; repeat < 5; ++repeat) {
    std::vector<double> logits(static_cast<size_t>(experts));
    for (double& logit : logits) logit = draw(random) / 4.0;
    const std::vector<int32_t> order = sorted(logits);
    double total = 0;
    for (const double logit : logits) total += std::exp(logit);

    for (const int32_t k : {1, 2, 7, experts / 2, experts}) {
      if (k < 1 || k > experts) continue;
      for (const auto kind : {MOX_ROUTER_TOP_K, MOX_ROUTER_MIXLORA}) {
        const auto result = decide(settings_of(kind, experts, k), logits);
        EXPECT_EQ(result.experts, std::vector<int32_t>(order.begin(), order.begin() + k)) << "k = " << k;
        EXPECT_NEAR(std::accumulate(result.weights.begin(), result.weights.end(), 0.0), 1, 1e-12);
      }
    }
    const auto taken = decide(settings_of(MOX_ROUTER_DYNAMIC, experts, 0, 0.6F), logits);
    double before = 0;
    for (size_t i = 0; i < order.size(); ++i) {
      const double p = std::exp(logits[static_cast<size_t>(order[i])]) / total;
      ASSERT_EQ(taken.experts[i], before > 0.6F ? -1 : order[i]) << "place " << i;
      ASSERT_NEAR(taken.weights[i], before > 0.6F ? 0 : p, 1e-12);
      before += p;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Experts, AgainstSorting, testing::Values(1, 2, 3, 8, 64, 257, 4096));

}  // namespace
}  // namespace moxie::moe
