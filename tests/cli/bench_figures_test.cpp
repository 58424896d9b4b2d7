// Medians, and fractions of limits: by hand.
#include <gmock/gmock.h>

#include "cli/bench/figures.h"

namespace moxie::cli::bench {
namespace {

using testing::DoubleEq;

TEST(BenchFigures, MedianIsTheMiddleOfTheSortedSamples) {
  EXPECT_THAT(median({7}), DoubleEq(7));
  EXPECT_THAT(median({9, 1, 4}), DoubleEq(4));
  EXPECT_THAT(median({9, 1, 4, 2}), DoubleEq(3));
}

TEST(BenchFigures, SpreadKeepsTheExtremes) {
  const Spread spread = spread_of({3, 8, 1, 2});
  EXPECT_THAT(spread.median, DoubleEq(2.5));
  EXPECT_THAT(spread.min, DoubleEq(1));
  EXPECT_THAT(spread.max, DoubleEq(8));
}

TEST(BenchFigures, EachCallIsDividedByTheLimitsBesideIt) {
  // Half of the arithmetic and a quarter of the bandwidth in each call, while the machine's own speed changes.
  std::vector<TimedCall> calls;
  for (const double slower : {1.0, 10.0, 2.0}) {
    TimedCall call;
    call.milliseconds = slower;
    call.weight_bytes = 5e6;
    call.beside = {40 / slower, 20 / slower};
    calls.push_back(call);
  }
  const auto figures = figures_of(calls, 20e6);
  EXPECT_EQ(figures.calls, 3u);
  EXPECT_THAT(figures.milliseconds.median, DoubleEq(2));
  EXPECT_THAT(figures.gflops, DoubleEq(10));
  EXPECT_THAT(figures.weight_gbs, DoubleEq(2.5));
  EXPECT_THAT(figures.of_limits.arithmetic, DoubleEq(0.5));
  EXPECT_THAT(figures.of_limits.bandwidth, DoubleEq(0.25));
  EXPECT_THAT(figures.of_limits.roofline, DoubleEq(0.5));
  EXPECT_THAT(figures.limits.gflops, DoubleEq(20));
}

TEST(BenchFigures, TheRooflineIsTheNearerLimitOfEachCall) {
  const std::vector<TimedCall> calls{{1, 8e6, {40, 10}}, {1, 2e6, {40, 10}}, {1, 9e6, {40, 10}}};
  const auto figures = figures_of(calls, 20e6);
  EXPECT_THAT(figures.of_limits.arithmetic, DoubleEq(0.5));
  EXPECT_THAT(figures.of_limits.bandwidth, DoubleEq(0.8));
  EXPECT_THAT(figures.of_limits.roofline, DoubleEq(0.8));
}

TEST(BenchFigures, RatiosAreOfPairsBeforeTheMedianIsTaken) {
  // The medians are 4 and 12.
  EXPECT_THAT(median_ratio({2, 15, 12}, {1, 10, 4}), DoubleEq(2));
  EXPECT_THAT(median_ratio({1, 10, 4}, {2, 15, 12}), DoubleEq(0.5));
}

}  // namespace
}  // namespace moxie::cli::bench
