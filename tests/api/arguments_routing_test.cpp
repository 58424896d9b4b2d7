// Plans: read out, built by the caller, passed in; and what is refused about them.
#include <algorithm>
#include <cmath>
#include <functional>

#include "support.h"

namespace api_test {
namespace {

constexpr int64_t rows = 9;
constexpr int64_t hidden = 48;
constexpr float untouched = -1234.5F;

// One range's routing in the caller's memory.
struct Decision {
  mox_routing_info info{};
  std::vector<float> logits, weights;
  std::vector<int32_t> experts;

  [[nodiscard]] mox_routing_choice choice() const {
    return {info.rows, info.routers, info.experts, info.places, experts.data(), weights.data()};
  }
};

Decision read(const Routing& routing, int64_t layer, int64_t range) {
  Decision decision;
  decision.info.struct_size = sizeof(decision.info);
  must(mox_routing_describe, routing.get(), layer, range, &decision.info);
  const auto count = static_cast<size_t>(decision.info.rows * decision.info.routers);
  decision.logits.resize(count * static_cast<size_t>(decision.info.experts));
  decision.experts.resize(count * static_cast<size_t>(decision.info.places));
  decision.weights.resize(decision.experts.size());
  must(mox_routing_read, routing.get(), layer, range, decision.logits.data(), decision.experts.data(),
       decision.weights.data());
  return decision;
}

Routing build(const std::vector<mox_routing_choice>& choices) {
  mox_routing* routing = nullptr;
  must(mox_routing_create, choices.data(), choices.size(), &routing);
  return Routing(routing);
}

class RoutingArguments : public testing::Test {
 protected:
  RoutingArguments() {
    ranges_ = {{nullptr, 0, 2}, {mixlora_.get(), 2, 5}, {mola_.get(), 5, 7}, {switch_.get(), 7, rows}};
    output_ = run(nullptr, &decided_);
    for (int64_t r = 0; r < 4; ++r) decisions_.push_back(read(decided_, 0, r));
  }

  std::vector<float> run(const mox_routing* plan, Routing* routing = nullptr) {
    std::vector<float> output(input_.size(), untouched);
    mox_batch batch = batch_of(rows, input_.data(), output.data(), ranges_);
    mox_routing* out = nullptr;
    must(mox_feed_forward_run, feed_forward_.get(), &batch, plan, routing == nullptr ? nullptr : &out);
    if (routing != nullptr) routing->reset(out);
    return output;
  }

  void refuse_plan(const std::string& words, const std::vector<mox_routing_choice>& choices) {
    SCOPED_TRACE(words);
    const Routing plan = build(choices);
    std::vector<float> output(input_.size(), untouched);
    mox_batch batch = batch_of(rows, input_.data(), output.data(), ranges_);
    refused(MOX_INVALID_ARGUMENT, words, mox_feed_forward_run, feed_forward_.get(), &batch, plan.get(), nullptr);
    EXPECT_EQ(output, std::vector<float>(input_.size(), untouched));
  }

  [[nodiscard]] std::vector<mox_routing_choice> choices() const {
    std::vector<mox_routing_choice> result;
    for (const Decision& decision : decisions_) result.push_back(decision.choice());
    return result;
  }

  Runtime runtime_ = make_runtime(2);
  FeedForward feed_forward_ = open_feed_forward(runtime_, parity_base("llama-h48-float32"), 0);
  Adapter mixlora_ = open_adapter(feed_forward_, parity_adapter("h48-mixlora-top2-e8"));
  Adapter mola_ = open_adapter(feed_forward_, parity_adapter("h48-mola-k2"));
  Adapter switch_ = open_adapter(feed_forward_, parity_adapter("h48-switch-c1"));
  std::vector<float> input_ = random_rows(rows, hidden, 1);
  std::vector<mox_range> ranges_;
  Routing decided_;
  std::vector<float> output_;
  std::vector<Decision> decisions_;
};

TEST_F(RoutingArguments, IsDescribedAsTheTableSays) {
  EXPECT_EQ(mox_routing_layers(decided_.get()), 1);
  EXPECT_EQ(mox_routing_ranges(decided_.get()), 4);
  const auto expect = [&](size_t range, int64_t range_rows, int32_t routers, int32_t experts, int32_t places) {
    const mox_routing_info& info = decisions_[range].info;
    EXPECT_EQ(info.rows, range_rows) << range;
    EXPECT_EQ(info.routers, routers) << range;
    if (routers > 0) {
      EXPECT_EQ(info.experts, experts) << range;
      EXPECT_EQ(info.places, places) << range;
    }
  };
  expect(0, 2, 0, 0, 0);
  expect(1, 3, 1, 8, 2);
  const mox_adapter_info mola = describe(mola_);
  expect(2, 2, 3, mola.experts, mola.top_k);
  expect(3, 2, 1, describe(switch_).experts, 1);

  const auto name = [&](int64_t range, int32_t router) {
    const char* text = nullptr;
    must(mox_routing_router_name, decided_.get(), 0, range, router, &text);
    return std::string(text);
  };
  EXPECT_EQ(name(1, 0), "mlp");
  EXPECT_EQ(name(2, 0), "gate_proj");
  EXPECT_EQ(name(2, 1), "down_proj");
  EXPECT_EQ(name(2, 2), "up_proj");
  EXPECT_EQ(name(3, 0), "mlp");
}

TEST_F(RoutingArguments, WhatWasReadGivesTheSameAgain) {
  const Routing plan = build(choices());
  Routing again;
  EXPECT_EQ(bits_of(run(plan.get(), &again)), bits_of(output_));
  for (int64_t r = 0; r < 4; ++r) {
    const Decision found = read(again, 0, r);
    const Decision& given = decisions_[static_cast<size_t>(r)];
    EXPECT_EQ(found.experts, given.experts);
    EXPECT_EQ(bits_of(found.weights), bits_of(given.weights));
    EXPECT_TRUE(std::all_of(found.logits.begin(), found.logits.end(), [](float value) { return std::isnan(value); }));
  }
  // And a plan straight from another call.
  EXPECT_EQ(bits_of(run(decided_.get())), bits_of(output_));
}

TEST_F(RoutingArguments, APlanIsFollowed) {
  Decision& mixlora = decisions_[1];
  std::fill(mixlora.weights.begin(), mixlora.weights.end(), 0.0F);
  const std::vector<float> nothing = run(build(choices()).get());
  // Rows 2 .. 4: no expert weighs anything, so nothing comes out; the rest is as it was.
  for (int64_t i = 0; i < rows * hidden; ++i) {
    const auto at = static_cast<size_t>(i);
    if (i / hidden >= 2 && i / hidden < 5) {
      EXPECT_EQ(nothing[at], 0);
    } else {
      EXPECT_EQ(std::bit_cast<uint32_t>(nothing[at]), std::bit_cast<uint32_t>(output_[at]));
    }
  }
}

// Plug-in experts that no row takes leave the base as it is; one that is taken instead of two is still added.
TEST_F(RoutingArguments, APlanMayTakeFewerExperts) {
  Decision& mola = decisions_[2];
  const std::vector<int32_t> both = mola.experts;
  std::fill(mola.experts.begin(), mola.experts.end(), -1);
  const std::vector<float> none = run(build(choices()).get());
  for (size_t place = 1; place < both.size(); place += 2) mola.experts[place] = both[place];
  const std::vector<float> one = run(build(choices()).get());
  ranges_[2].adapter = nullptr;
  const std::vector<float> base = run(nullptr);
  for (int64_t i = 0; i < rows * hidden; ++i) {
    const auto at = static_cast<size_t>(i);
    const bool of_mola = i / hidden >= 5 && i / hidden < 7;
    EXPECT_EQ(std::bit_cast<uint32_t>(none[at]), std::bit_cast<uint32_t>(of_mola ? base[at] : output_[at])) << i;
    if (of_mola) continue;
    EXPECT_EQ(std::bit_cast<uint32_t>(one[at]), std::bit_cast<uint32_t>(output_[at])) << i;
  }
  const auto rows_of_mola = [](const std::vector<float>& output) {
    return std::vector<float>(output.begin() + 5 * hidden, output.begin() + 7 * hidden);
  };
  EXPECT_NE(rows_of_mola(one), rows_of_mola(none));
  EXPECT_NE(rows_of_mola(one), rows_of_mola(output_));
}

TEST_F(RoutingArguments, RouteAgreesWithRun) {
  mox_batch batch = batch_of(rows, input_.data(), nullptr, ranges_);
  mox_routing* raw = nullptr;
  must(mox_feed_forward_route, feed_forward_.get(), &batch, &raw);
  const Routing routed(raw);
  for (int64_t r = 0; r < 4; ++r) {
    const Decision found = read(routed, 0, r);
    EXPECT_EQ(found.experts, decisions_[static_cast<size_t>(r)].experts);
    EXPECT_EQ(bits_of(found.weights), bits_of(decisions_[static_cast<size_t>(r)].weights));
    EXPECT_EQ(bits_of(found.logits), bits_of(decisions_[static_cast<size_t>(r)].logits));
  }
}

TEST_F(RoutingArguments, APlanThatDoesNotFit) {
  std::vector<mox_routing_choice> wrong = choices();
  wrong.pop_back();
  refuse_plan("3", wrong);
  wrong = choices();
  std::swap(wrong[0], wrong[1]);
  refuse_plan("range 0", wrong);
  wrong = choices();
  wrong[1].rows = 2;
  refuse_plan("range 1", wrong);
  wrong = choices();
  wrong[2].routers = 2;
  refuse_plan("range 2", wrong);
  wrong = choices();
  wrong[3].experts += 1;
  refuse_plan("range 3", wrong);
  wrong = choices();
  wrong[1].places = 1;
  refuse_plan("range 1", wrong);
  wrong = choices();
  wrong[0] = decisions_[1].choice();
  wrong[0].rows = 2;
  refuse_plan("range 0", wrong);
}

TEST_F(RoutingArguments, ChoicesThatCannotBe) {
  const auto refuse = [&](const std::string& words, const std::function<void(Decision&, mox_routing_choice&)>& change) {
    SCOPED_TRACE(words);
    Decision decision = decisions_[1];
    mox_routing_choice choice = decision.choice();
    change(decision, choice);
    const mox_routing_choice both[2] = {decisions_[0].choice(), choice};
    mox_routing* routing = untouched_handle<mox_routing>();
    refused(MOX_INVALID_ARGUMENT, words, mox_routing_create, both, size_t{2}, &routing);
    EXPECT_EQ(routing, untouched_handle<mox_routing>());
  };
  refuse("choices[1]", [](Decision&, mox_routing_choice& c) { c.rows = -1; });
  refuse("choices[1]", [](Decision&, mox_routing_choice& c) { c.routers = -1; });
  refuse("choices[1]", [](Decision&, mox_routing_choice& c) { c.experts = 0; });
  refuse("choices[1]", [](Decision&, mox_routing_choice& c) { c.places = 0; });
  refuse("choices[1]", [](Decision&, mox_routing_choice& c) { c.places = 9; });
  refuse("choices[1]", [](Decision&, mox_routing_choice& c) { c.expert_ids = nullptr; });
  refuse("choices[1]", [](Decision&, mox_routing_choice& c) { c.weights = nullptr; });
  refuse("8", [](Decision& d, mox_routing_choice&) { d.experts[3] = 8; });
  refuse("-2", [](Decision& d, mox_routing_choice&) { d.experts[3] = -2; });
  refuse("expert_ids[1][1]", [](Decision& d, mox_routing_choice&) { d.experts[3] = d.experts[2]; });
  refuse("weights[2][1]", [](Decision& d, mox_routing_choice&) { d.weights[5] = std::nanf(""); });
  refuse("weights[2][0]", [](Decision& d, mox_routing_choice&) { d.weights[4] = HUGE_VALF; });
}

TEST_F(RoutingArguments, NullsAndPlacesThatAreNotThere) {
  mox_routing_info info{};
  info.struct_size = sizeof(info);
  const char* name = nullptr;
  for (const auto& [layer, range] : {std::pair<int64_t, int64_t>{1, 0}, {-1, 0}, {0, 4}, {0, -1}}) {
    const std::string words = layer == 0 ? "range" : "layer";
    refused(MOX_INVALID_ARGUMENT, words, mox_routing_describe, decided_.get(), layer, range, &info);
    refused(MOX_INVALID_ARGUMENT, words, mox_routing_router_name, decided_.get(), layer, range, 0, &name);
    refused(MOX_INVALID_ARGUMENT, words, mox_routing_read, decided_.get(), layer, range, nullptr, nullptr, nullptr);
  }
  EXPECT_EQ(info.rows, 0);
  refused(MOX_INVALID_ARGUMENT, "router", mox_routing_router_name, decided_.get(), 0, 0, 0, &name);
  refused(MOX_INVALID_ARGUMENT, "router", mox_routing_router_name, decided_.get(), 0, 2, 3, &name);
  refused(MOX_INVALID_ARGUMENT, "router", mox_routing_router_name, decided_.get(), 0, 2, -1, &name);
  EXPECT_EQ(name, nullptr);
  refused(MOX_INVALID_ARGUMENT, "name is NULL", mox_routing_router_name, decided_.get(), 0, 1, 0, nullptr);
  refused(MOX_INVALID_ARGUMENT, "routing is NULL", mox_routing_describe, nullptr, 0, 0, &info);
  refused(MOX_INVALID_ARGUMENT, "routing is NULL", mox_routing_read, nullptr, 0, 0, nullptr, nullptr, nullptr);
  refused(MOX_INVALID_ARGUMENT, "routing is NULL", mox_routing_router_name, nullptr, 0, 0, 0, &name);
  info.struct_size = 1;
  refused(MOX_INVALID_ARGUMENT, "struct_size is 1", mox_routing_describe, decided_.get(), 0, 0, &info);
  mox_routing* routing = untouched_handle<mox_routing>();
  refused(MOX_INVALID_ARGUMENT, "choices is NULL", mox_routing_create, nullptr, size_t{1}, &routing);
  const mox_routing_choice choice = decisions_[0].choice();
  refused(MOX_INVALID_ARGUMENT, "routing is NULL", mox_routing_create, &choice, size_t{1}, nullptr);
  EXPECT_EQ(routing, untouched_handle<mox_routing>());
  mox_routing_free(nullptr);
  // Any of the three may be left out.
  must(mox_routing_read, decided_.get(), 0, 1, nullptr, nullptr, nullptr);
}

TEST_F(RoutingArguments, APlanOfSeveralLayersIsForNoFeedForward) {
  const Model model = open_model(runtime_, parity_base("llama-h48-float32"));
  const Sequence sequence = make_sequence(model);
  const int32_t token = 5;
  const mox_step step{sequence.get(), nullptr, &token, 1, nullptr, 0, 0};
  mox_routing* raw = nullptr;
  must(mox_model_step, model.get(), &step, size_t{1}, &raw);
  const Routing of_model(raw);
  ASSERT_EQ(mox_routing_layers(of_model.get()), 2);
  ranges_ = {{nullptr, 0, rows}};
  std::vector<float> output(input_.size(), untouched);
  mox_batch batch = batch_of(rows, input_.data(), output.data(), ranges_);
  refused(MOX_INVALID_ARGUMENT, "2 layers", mox_feed_forward_run, feed_forward_.get(), &batch, of_model.get(), nullptr);
  EXPECT_EQ(output, std::vector<float>(input_.size(), untouched));
}

}  // namespace
}  // namespace api_test
