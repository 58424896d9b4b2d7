#include "moxie/router_loss.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

namespace {

using testing::DoubleNear;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Pointwise;

mox_router_loss_options options_of(mox_router_kind kind, int32_t experts) {
  mox_router_loss_options options;
  mox_router_loss_options_init(&options, sizeof(options));
  options.kind = kind;
  options.experts = experts;
  options.balance_coefficient = 1;
  options.z_coefficient = 0;
  return options;
}

double loss_of(const mox_router_loss_options& options, const std::vector<float>& logits) {
  double loss = std::nan("");
  mox_error error{};
  EXPECT_EQ(
      mox_router_loss(&options, logits.data(), static_cast<int64_t>(logits.size()) / options.experts, &loss, &error),
      MOX_OK)
      << error.message;
  return loss;
}

std::vector<double> profile_of(const mox_router_loss_options& options, const std::vector<float>& logits) {
  std::vector<double> profile(static_cast<size_t>(options.layers * options.experts), std::nan(""));
  mox_error error{};
  EXPECT_EQ(mox_router_profile(&options, logits.data(), static_cast<int64_t>(logits.size()) / options.experts,
                               profile.data(), &error),
            MOX_OK)
      << error.message;
  return profile;
}

// Both functions refuse, with the same status and words, and leave their output alone.
void expect_refused(const mox_router_loss_options& options, const std::vector<float>& logits, int64_t rows,
                    mox_status status, const char* words, bool profile_only = false) {
  SCOPED_TRACE(words);
  const double untouched = -12345;
  mox_error error{};
  if (!profile_only) {
    double loss = untouched;
    EXPECT_EQ(mox_router_loss(&options, logits.data(), rows, &loss, &error), status);
    EXPECT_THAT(error.message, HasSubstr(words));
    EXPECT_EQ(loss, untouched);
  }
  std::vector<double> profile(64, untouched);
  error = {};
  EXPECT_EQ(mox_router_profile(&options, logits.data(), rows, profile.data(), &error), status);
  EXPECT_THAT(error.message, HasSubstr(words));
  EXPECT_EQ(profile, std::vector<double>(64, untouched));
}

TEST(RouterLoss, EvenRoutingIsTheMinimum) {
  // Each row sure of its own expert: every share is 1/4, every mean probability about 1/4.
  std::vector<float> logits(16, 0.0F);
  for (size_t row = 0; row < 4; ++row) logits[row * 4 + row] = 60;
  auto options = options_of(MOX_ROUTER_MIXLORA, 4);
  options.top_k = 1;
  EXPECT_NEAR(loss_of(options, logits), 1, 1e-12);
  EXPECT_THAT(profile_of(options, logits), ElementsAre(0.25, 0.25, 0.25, 0.25));
}

TEST(RouterLoss, OneExpertForAllIsTheMaximum) {
  std::vector<float> logits(12, 0.0F);
  for (size_t row = 0; row < 3; ++row) logits[row * 4 + 2] = 60;
  auto options = options_of(MOX_ROUTER_TOP_K, 4);
  options.top_k = 1;
  EXPECT_NEAR(loss_of(options, logits), 4, 1e-12);
  EXPECT_THAT(profile_of(options, logits), ElementsAre(0, 0, 1, 0));
}

TEST(RouterLoss, TopKAndMixLoraAgree) {
  const std::vector<float> logits{0.5F, -1, 2, 0.25F, 3, 1, -2, 0, 0.125F, 0.5F, 0.75F, -0.5F};
  auto options = options_of(MOX_ROUTER_TOP_K, 4);
  options.top_k = 2;
  const double top_k = loss_of(options, logits);
  options.kind = MOX_ROUTER_MIXLORA;
  EXPECT_DOUBLE_EQ(loss_of(options, logits), top_k);
  options.kind = MOX_ROUTER_MOLA;
  EXPECT_DOUBLE_EQ(loss_of(options, logits), top_k);
  options.balance_coefficient = 0.25;
  EXPECT_DOUBLE_EQ(loss_of(options, logits), top_k / 4);
}

TEST(RouterLoss, AllExpertsChosen) {
  const std::vector<float> logits{0.5F, -1, 2, 3, 1, -2};
  auto options = options_of(MOX_ROUTER_MIXLORA, 3);
  options.top_k = 3;
  EXPECT_NEAR(loss_of(options, logits), 3, 1e-12);  // 3 * sum of 1 * P_e
  EXPECT_THAT(profile_of(options, logits), ElementsAre(1, 1, 1));
}

TEST(RouterLoss, EmptyPlacesOfTopPCountForNobody) {
  // One expert surely: the other place is empty.
  const std::vector<float> logits{60, 0, 0, 60, 60, 0};
  auto options = options_of(MOX_ROUTER_DYNAMIC, 2);
  options.top_p = 0.9F;
  EXPECT_THAT(profile_of(options, logits), Pointwise(DoubleNear(1e-15), {2.0 / 3, 1.0 / 3}));
}

TEST(RouterLoss, SwitchLossKnowsNoCapacity) {
  const std::vector<float> logits{2, 1, 2, 0, 3, 1, 0, 1};  // experts 0, 0, 0, 1
  auto options = options_of(MOX_ROUTER_SWITCH, 2);
  options.capacity = 1;
  const double tight = loss_of(options, logits);
  EXPECT_THAT(profile_of(options, logits), ElementsAre(0.25, 0.25));
  options.capacity = 10;
  EXPECT_DOUBLE_EQ(loss_of(options, logits), tight);
  EXPECT_THAT(profile_of(options, logits), ElementsAre(0.75, 0.25));
  options.capacity = 1;
  options.sequences = 2;  // each sequence has its own first row
  EXPECT_THAT(profile_of(options, logits), ElementsAre(0.5, 0.25));
}

TEST(RouterLoss, SwitchAddsTheZLoss) {
  const std::vector<float> logits{2, 1, 0, 1};
  auto options = options_of(MOX_ROUTER_SWITCH, 2);
  const double balance = loss_of(options, logits);
  options.z_coefficient = 0.5;
  const double a = std::log(std::exp(2.0) + std::exp(1.0));
  const double b = std::log(1 + std::exp(1.0));
  EXPECT_NEAR(loss_of(options, logits), balance + 0.5 * (a * a + b * b) / 2, 1e-12);
}

TEST(RouterLoss, ZLossStandsLargeLogits) {
  auto options = options_of(MOX_ROUTER_SWITCH, 2);
  options.balance_coefficient = 0;
  options.z_coefficient = 1;
  EXPECT_NEAR(loss_of(options, {1000, -1000}), 1e6, 1e-6);
}

TEST(RouterLoss, MaskLeavesPaddingOutOfEverything) {
  const std::vector<float> real{2, 1, 0, 0, 3, 1, 1, 1, 0.5F};
  const float nan = std::numeric_limits<float>::quiet_NaN();
  // Padding in front of, between and behind the real rows, and never looked at.
  std::vector<float> padded{nan, nan, nan};
  padded.insert(padded.end(), real.begin(), real.begin() + 6);
  padded.insert(padded.end(), {99, 0, 0});
  padded.insert(padded.end(), real.begin() + 6, real.end());
  padded.insert(padded.end(), {0, 0, 99});
  const std::vector<uint8_t> mask{0, 1, 1, 0, 1, 0};

  for (const auto kind :
       {MOX_ROUTER_TOP_K, MOX_ROUTER_MIXLORA, MOX_ROUTER_DYNAMIC, MOX_ROUTER_SWITCH, MOX_ROUTER_MOLA}) {
    auto options = options_of(kind, 3);
    options.capacity = 1;
    options.z_coefficient = 0.5;
    const double loss = loss_of(options, real);
    const auto profile = profile_of(options, real);
    options.mask = mask.data();
    EXPECT_DOUBLE_EQ(loss_of(options, padded), loss) << "kind " << kind;
    EXPECT_EQ(profile_of(options, padded), profile) << "kind " << kind;
  }
}

TEST(RouterLoss, MaskRepeatsForEachLayer) {
  const std::vector<float> logits{5, 0, 0, 5, 0, 5, 5, 0};
  const std::vector<uint8_t> mask{1, 0};
  auto options = options_of(MOX_ROUTER_SWITCH, 2);
  options.layers = 2;
  options.mask = mask.data();
  EXPECT_THAT(profile_of(options, logits), ElementsAre(1, 0, 0, 1));
}

TEST(RouterLoss, LoraMoeHasAProfileAndNoLoss) {
  auto options = options_of(MOX_ROUTER_LORAMOE, 2);
  const std::vector<float> logits{1, 2};
  double loss = -1;
  mox_error error{};
  EXPECT_EQ(mox_router_loss(&options, logits.data(), 1, &loss, &error), MOX_UNSUPPORTED);
  EXPECT_THAT(error.message, HasSubstr("LoRAMoE"));
  EXPECT_EQ(loss, -1);
  EXPECT_THAT(profile_of(options, logits), ElementsAre(1, 1));
}

TEST(RouterLoss, RefusesWhatDoesNotFit) {
  const std::vector<float> logits(12, 0.0F);
  const auto refused = [&](auto&& change, const char* words, int64_t rows = 4) {
    auto options = options_of(MOX_ROUTER_MIXLORA, 3);
    change(options);
    expect_refused(options, logits, rows, MOX_INVALID_ARGUMENT, words);
  };
  using Options = mox_router_loss_options;
  refused([](Options& o) { o.experts = 0; }, "options.experts is 0");
  refused([](Options& o) { o.layers = 0; }, "options.layers is 0");
  refused([](Options& o) { o.sequences = -1; }, "options.sequences is -1");
  refused([](Options& o) { o.layers = 3; },
          "row_count is 4; expected a multiple of options.layers * options.sequences (3 * 1)");
  refused([](Options& o) { o.layers = o.sequences = int64_t{1} << 40; }, "row_count is 4");
  refused([](Options&) {}, "row_count is 0", 0);
  refused([](Options&) {}, "row_count is -4", -4);
  refused([](Options&) {}, "more than memory can hold", std::numeric_limits<int64_t>::max());
  refused([](Options& o) { o.top_k = 0; }, "options.top_k is 0; expected 1 .. 3");
  refused([](Options& o) { o.top_k = 4; }, "options.top_k is 4; expected 1 .. 3");
  refused([](Options& o) { o.kind = static_cast<mox_router_kind>(6); }, "options.kind is 6");
  refused([](Options& o) { o.balance_coefficient = std::nan(""); }, "options.balance_coefficient is nan");
  refused([](Options& o) { o.z_coefficient = HUGE_VAL; }, "options.z_coefficient is inf");
  refused([](Options& o) { o.struct_size = 3; }, "mox_router_loss_options.struct_size is 3");

  const auto dynamic = [&](float top_p, float temperature, const char* words) {
    refused(
        [&](Options& o) {
          o.kind = MOX_ROUTER_DYNAMIC;
          o.top_p = top_p;
          o.temperature = temperature;
        },
        words);
  };
  dynamic(0, 0, "options.top_p is 0.0");
  dynamic(1.5F, 0, "options.top_p is 1.5");
  dynamic(NAN, 0, "options.top_p is nan");
  dynamic(0.5F, -1, "options.temperature is -1.0");
  dynamic(0.5F, HUGE_VALF, "options.temperature is inf");

  auto no_capacity = options_of(MOX_ROUTER_SWITCH, 3);
  no_capacity.capacity = 0;
  expect_refused(no_capacity, logits, 4, MOX_INVALID_ARGUMENT, "options.capacity is 0", true);

  std::vector<uint8_t> mask{1, 1, 2, 0};
  refused([&](Options& o) { o.mask = mask.data(); }, "options.mask[2] is 2");
  mask = {0, 0, 0, 0};
  refused([&](Options& o) { o.mask = mask.data(); }, "options.mask is 0 throughout its 4 rows");
}

TEST(RouterLoss, NamesTheRowThatIsNotFinite) {
  for (const float bad : {std::nanf(""), HUGE_VALF, -HUGE_VALF}) {
    std::vector<float> logits(12, 0.0F);
    logits[3 * 3 + 1] = bad;
    for (const auto kind : {MOX_ROUTER_TOP_K, MOX_ROUTER_DYNAMIC, MOX_ROUTER_SWITCH}) {
      expect_refused(options_of(kind, 3), logits, 4, MOX_NUMERIC, "logits of row 3");
      expect_refused(options_of(kind, 3), logits, 4, MOX_NUMERIC, "expert 1");
    }
  }
}

TEST(RouterLoss, NullsAreNamed) {
  const auto options = options_of(MOX_ROUTER_MIXLORA, 2);
  const float logits[2] = {0, 1};
  double out = 0;
  mox_error error{};
  EXPECT_EQ(mox_router_loss(nullptr, logits, 1, &out, &error), MOX_INVALID_ARGUMENT);
  EXPECT_STREQ(error.message, "options is NULL");
  EXPECT_EQ(mox_router_loss(&options, nullptr, 1, &out, &error), MOX_INVALID_ARGUMENT);
  EXPECT_STREQ(error.message, "logits is NULL");
  EXPECT_EQ(mox_router_loss(&options, logits, 1, nullptr, &error), MOX_INVALID_ARGUMENT);
  EXPECT_STREQ(error.message, "loss is NULL");
  EXPECT_EQ(mox_router_profile(nullptr, logits, 1, &out, &error), MOX_INVALID_ARGUMENT);
  EXPECT_EQ(mox_router_profile(&options, nullptr, 1, &out, &error), MOX_INVALID_ARGUMENT);
  EXPECT_EQ(mox_router_profile(&options, logits, 1, nullptr, &error), MOX_INVALID_ARGUMENT);
  EXPECT_STREQ(error.message, "profile is NULL");
  EXPECT_EQ(mox_router_loss(nullptr, logits, 1, &out, nullptr), MOX_INVALID_ARGUMENT);
}

}  // namespace
