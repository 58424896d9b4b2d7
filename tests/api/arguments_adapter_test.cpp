// What opening and creating adapters, feed-forwards from the caller's memory, runtimes and files refuses.
#include <cmath>
#include <cstring>
#include <functional>
#include <limits>

#include "support.h"

namespace api_test {
namespace {

mox_matrix matrix(const std::vector<float>& data, int64_t rows, int64_t columns) {
  return {data.data(), rows, columns, 0, MOX_F32};
}

// A dense gated feed-forward of 8 x 12 in the caller's memory.
struct Weights {
  std::vector<float> gate = random_rows(12, 8, 1), up = random_rows(12, 8, 2), down = random_rows(8, 12, 3);
  std::vector<float> router = random_rows(1, 8, 4);
  mox_expert_weights expert{};
  mox_feed_forward_description description{};

  Weights() {
    expert.gate = matrix(gate, 12, 8);
    expert.up = matrix(up, 12, 8);
    expert.down = matrix(down, 8, 12);
    mox_feed_forward_description_init(&description, sizeof(description));
    description.kind = MOX_FEED_FORWARD_GATED;
    description.hidden = 8;
    description.ffn = 12;
    description.activation = MOX_ACTIVATION_SILU;
    description.experts = &expert;
    description.expert_count = 1;
  }
  Weights(const Weights&) = delete;
  Weights& operator=(const Weights&) = delete;
};

class CreateFeedForward : public testing::Test {
 protected:
  void refuse(const std::string& words,
              const std::function<void(mox_feed_forward_description&, mox_expert_weights&)>& change) {
    SCOPED_TRACE(words);
    Weights weights;
    change(weights.description, weights.expert);
    mox_feed_forward* out = untouched_handle<mox_feed_forward>();
    refused(MOX_INVALID_ARGUMENT, words, mox_feed_forward_create, runtime_.get(), &weights.description, &out);
    EXPECT_EQ(out, untouched_handle<mox_feed_forward>());
  }
  Runtime runtime_ = make_runtime(1);
};

using Description = mox_feed_forward_description;
using Expert = mox_expert_weights;

TEST_F(CreateFeedForward, TakesAGoodOne) {
  Weights weights;
  mox_feed_forward* raw = nullptr;
  must(mox_feed_forward_create, runtime_.get(), &weights.description, &raw);
  const FeedForward feed_forward(raw);
  const mox_feed_forward_info info = describe(feed_forward);
  EXPECT_EQ(info.hidden, 8);
  EXPECT_EQ(info.ffn, 12);
  EXPECT_EQ(info.kind, MOX_FEED_FORWARD_GATED);
  EXPECT_EQ(info.weights, MOX_F32);
}

TEST_F(CreateFeedForward, Sizes) {
  refuse("hidden is 0", [](Description& d, Expert&) { d.hidden = 0; });
  refuse("ffn is -12", [](Description& d, Expert&) { d.ffn = -12; });
  refuse("expert_count is 0", [](Description& d, Expert&) { d.expert_count = 0; });
  refuse("expert_count is 2", [](Description& d, Expert&) { d.expert_count = 2; });
  refuse("experts is NULL", [](Description& d, Expert&) { d.experts = nullptr; });
  refuse("struct_size", [](Description& d, Expert&) { d.struct_size = 4; });
}

TEST_F(CreateFeedForward, Matrices) {
  refuse("gate", [](Description&, Expert& e) { e.gate.data = nullptr; });
  refuse("up", [](Description&, Expert& e) { e.up.data = nullptr; });
  refuse("down", [](Description&, Expert& e) { e.down.data = nullptr; });
  refuse("gate", [](Description&, Expert& e) { e.gate.rows = 11; });
  refuse("up", [](Description&, Expert& e) { e.up.columns = 9; });
  refuse("down", [](Description&, Expert& e) { std::swap(e.down.rows, e.down.columns); });
  refuse("row_stride", [](Description&, Expert& e) { e.up.row_stride = 7; });
  refuse("row_stride", [](Description&, Expert& e) { e.up.row_stride = -8; });
  refuse("dtype", [](Description&, Expert& e) { e.gate.dtype = MOX_I32; });
}

TEST_F(CreateFeedForward, Kinds) {
  refuse("kind", [](Description& d, Expert&) { d.kind = static_cast<mox_feed_forward_kind>(3); });
  refuse("activation", [](Description& d, Expert&) { d.activation = MOX_ACTIVATION_BASE; });
  refuse("activation", [](Description& d, Expert&) { d.activation = static_cast<mox_activation>(17); });
  refuse("weights", [](Description& d, Expert&) { d.weights = static_cast<mox_weights>(5); });
  refuse("up", [](Description& d, Expert&) { d.kind = MOX_FEED_FORWARD_PLAIN; });
  refuse("router", [](Description& d, Expert&) {
    d.kind = MOX_FEED_FORWARD_EXPERTS;
    d.top_k = 1;
  });
  const std::vector<float> router = random_rows(1, 8, 4);
  for (const int32_t top_k : {0, 2, -1}) {
    refuse("top_k is " + std::to_string(top_k), [&](Description& d, Expert&) {
      d.kind = MOX_FEED_FORWARD_EXPERTS;
      d.router = matrix(router, 1, 8);
      d.top_k = top_k;
    });
  }
}

TEST_F(CreateFeedForward, Nulls) {
  const Weights weights;
  mox_feed_forward* out = untouched_handle<mox_feed_forward>();
  refused(MOX_INVALID_ARGUMENT, "runtime is NULL", mox_feed_forward_create, nullptr, &weights.description, &out);
  refused(MOX_INVALID_ARGUMENT, "description is NULL", mox_feed_forward_create, runtime_.get(), nullptr, &out);
  refused(MOX_INVALID_ARGUMENT, "feed_forward is NULL", mox_feed_forward_create, runtime_.get(), &weights.description,
          nullptr);
  EXPECT_EQ(out, untouched_handle<mox_feed_forward>());
}

// MixLoRA with two experts of rank 2 over the up projection of the feed-forward above.
class CreateAdapter : public testing::Test {
 protected:
  CreateAdapter() {
    mox_feed_forward* raw = nullptr;
    must(mox_feed_forward_create, runtime_.get(), &weights_.description, &raw);
    feed_forward_.reset(raw);
  }

  struct Parts {
    std::vector<float> a = random_rows(2, 8, 5), b = random_rows(12, 2, 6), router = random_rows(2, 8, 7);
    mox_lora_factors factors[2];
    mox_adapter_projection projection{};
    mox_adapter_description description{};
  };

  static void fill(Parts& parts) {
    for (mox_lora_factors& factors : parts.factors) {
      factors = {matrix(parts.a, 2, 8), matrix(parts.b, 12, 2), 0.5F, nullptr};
    }
    parts.projection.projection = MOX_PROJECTION_UP;
    parts.projection.factors = parts.factors;
    parts.projection.factor_count = 2;
    mox_adapter_description_init(&parts.description, sizeof(parts.description));
    parts.description.kind = MOX_ADAPTER_MIXLORA;
    parts.description.experts = 2;
    parts.description.top_k = 1;
    parts.description.router = matrix(parts.router, 2, 8);
    parts.description.projections = &parts.projection;
    parts.description.projection_count = 1;
  }

  void refuse(const std::string& words, const std::function<void(Parts&)>& change) {
    SCOPED_TRACE(words);
    Parts parts;
    fill(parts);
    change(parts);
    mox_adapter* out = untouched_handle<mox_adapter>();
    refused(MOX_INVALID_ARGUMENT, words, mox_adapter_create, feed_forward_.get(), &parts.description, &out);
    EXPECT_EQ(out, untouched_handle<mox_adapter>());
  }

  Runtime runtime_ = make_runtime(1);
  Weights weights_;
  FeedForward feed_forward_;
};

TEST_F(CreateAdapter, TakesAGoodOne) {
  Parts parts;
  fill(parts);
  mox_adapter* raw = nullptr;
  must(mox_adapter_create, feed_forward_.get(), &parts.description, &raw);
  const Adapter adapter(raw);
  const mox_adapter_info info = describe(adapter);
  EXPECT_EQ(info.kind, MOX_ADAPTER_MIXLORA);
  EXPECT_EQ(info.experts, 2);
  EXPECT_EQ(info.rank, 2);
  EXPECT_STREQ(info.name, "adapter");
}

TEST_F(CreateAdapter, Settings) {
  refuse("kind", [](Parts& p) { p.description.kind = static_cast<mox_adapter_kind>(6); });
  refuse("experts", [](Parts& p) { p.description.experts = 0; });
  refuse("top_k", [](Parts& p) { p.description.top_k = 0; });
  refuse("top_k", [](Parts& p) { p.description.top_k = 3; });
  for (const float top_p : {0.0F, -0.5F, 1.5F, std::nanf("")}) {
    refuse("top_p", [&](Parts& p) {
      p.description.kind = MOX_ADAPTER_MIXLORA_DYNAMIC;
      p.description.top_p = top_p;
    });
  }
  for (const float temperature : {-1.0F, std::nanf(""), HUGE_VALF}) {
    refuse("temperature", [&](Parts& p) {
      p.description.kind = MOX_ADAPTER_MIXLORA_DYNAMIC;
      p.description.top_p = 0.5F;
      p.description.temperature = temperature;
    });
  }
  refuse("capacity", [](Parts& p) {
    p.description.kind = MOX_ADAPTER_MIXLORA_SWITCH;
    p.description.capacity = 0;
  });
  refuse("activation", [](Parts& p) { p.description.activation = static_cast<mox_activation>(9); });
  refuse("struct_size", [](Parts& p) { p.description.struct_size = 1; });
}

TEST_F(CreateAdapter, RouterAndProjections) {
  refuse("router", [](Parts& p) { p.description.router.data = nullptr; });
  refuse("router", [](Parts& p) { p.description.router.rows = 3; });
  refuse("router", [](Parts& p) { p.description.router.columns = 7; });
  refuse("projections is NULL", [](Parts& p) { p.description.projections = nullptr; });
  refuse("projection", [](Parts& p) { p.projection.projection = static_cast<mox_projection>(3); });
  refuse("factors is NULL", [](Parts& p) { p.projection.factors = nullptr; });
  refuse("factor_count", [](Parts& p) { p.projection.factor_count = 1; });
  refuse("router", [](Parts& p) {  // LoRAMoE routes each linear: one is lacking here
    p.description.kind = MOX_ADAPTER_LORAMOE;
    p.description.router.data = nullptr;
  });
}

TEST_F(CreateAdapter, Factors) {
  refuse(".a", [](Parts& p) { p.factors[1].a.data = nullptr; });
  refuse(".b", [](Parts& p) { p.factors[1].b.data = nullptr; });
  refuse(".a", [](Parts& p) { p.factors[1].a.columns = 9; });
  refuse(".b", [](Parts& p) { p.factors[1].b.rows = 11; });
  refuse("factors[0].b", [](Parts& p) { p.factors[0].b.columns = 1; });
  refuse("scaling", [](Parts& p) { p.factors[1].scaling = std::nanf(""); });
  refuse("scaling", [](Parts& p) { p.factors[1].scaling = HUGE_VALF; });
  refuse("dtype", [](Parts& p) { p.factors[0].a.dtype = MOX_I64; });
  refuse("row_stride", [](Parts& p) { p.factors[0].a.row_stride = 3; });
}

TEST_F(CreateAdapter, TheSameProjectionTwice) {
  Parts parts;
  fill(parts);
  const mox_adapter_projection twice[2] = {parts.projection, parts.projection};
  parts.description.projections = twice;
  parts.description.projection_count = 2;
  mox_adapter* out = untouched_handle<mox_adapter>();
  refused(MOX_INVALID_ARGUMENT, "projections[1]", mox_adapter_create, feed_forward_.get(), &parts.description, &out);
  EXPECT_EQ(out, untouched_handle<mox_adapter>());
}

TEST(OpenAdapter, Refuses) {
  const Runtime runtime = make_runtime(1);
  const FeedForward feed_forward = open_feed_forward(runtime, parity_base("llama-h48-float32"), 0);
  const Model model = open_model(runtime, parity_base("llama-h48-float32"));
  const std::string folder = parity_adapter("h48-lora-r8");
  mox_adapter* out = untouched_handle<mox_adapter>();
  refused(MOX_INVALID_ARGUMENT, "model is NULL", mox_adapter_open, nullptr, folder.c_str(), &out);
  refused(MOX_INVALID_ARGUMENT, "folder is NULL", mox_adapter_open, model.get(), nullptr, &out);
  refused(MOX_INVALID_ARGUMENT, "adapter is NULL", mox_adapter_open, model.get(), folder.c_str(), nullptr);
  refused(MOX_NOT_FOUND, "/no/such/adapter", mox_adapter_open, model.get(), "/no/such/adapter", &out);
  refused(MOX_INVALID_ARGUMENT, "block is NULL", mox_adapter_open_for_block, nullptr, folder.c_str(), &out);
  refused(MOX_INVALID_ARGUMENT, "feed_forward is NULL", mox_adapter_open_for_feed_forward, nullptr, folder.c_str(), -1,
          &out);
  refused(MOX_NOT_FOUND, "layer", mox_adapter_open_for_feed_forward, feed_forward.get(), folder.c_str(), 2, &out);
  refused(MOX_INVALID_ARGUMENT, "layer", mox_adapter_open_for_feed_forward, feed_forward.get(), folder.c_str(), -2,
          &out);
  // An adapter of other widths.
  mox_error error{};
  EXPECT_NE(mox_adapter_open(model.get(), parity_adapter("h128-lora-r16").c_str(), &out, &error), MOX_OK);
  EXPECT_THAT(error.message, testing::HasSubstr("48"));
  EXPECT_THAT(error.message, testing::HasSubstr("128"));
  EXPECT_EQ(out, untouched_handle<mox_adapter>());

  const Adapter adapter = open_adapter(model, folder);
  mox_adapter_info info{};
  refused(MOX_INVALID_ARGUMENT, "struct_size is 0", mox_adapter_describe, adapter.get(), &info);
  refused(MOX_INVALID_ARGUMENT, "adapter is NULL", mox_adapter_describe, nullptr, &info);
  mox_router_loss_options options;
  mox_router_loss_options_init(&options, sizeof(options));
  const mox_router_loss_options before = options;
  refused(MOX_UNSUPPORTED, "loss", mox_adapter_router_loss, adapter.get(), &options);
  refused(MOX_INVALID_ARGUMENT, "options is NULL", mox_adapter_router_loss, adapter.get(), nullptr);
  EXPECT_EQ(std::memcmp(&options, &before, sizeof(options)), 0);
  mox_adapter_release(nullptr);
  EXPECT_EQ(mox_adapter_retain(nullptr), nullptr);
}

TEST(OpenAdapter, GivesTheRouterLossItsSettings) {
  const Runtime runtime = make_runtime(1);
  const Model model = open_model(runtime, parity_base("llama-h48-float32"));
  const Adapter adapter = open_adapter(model, parity_adapter("h48-dynamic-p50-t15"));
  mox_router_loss_options options;
  mox_router_loss_options_init(&options, sizeof(options));
  const uint8_t mask = 1;
  options.layers = 3;
  options.sequences = 5;
  options.mask = &mask;
  must(mox_adapter_router_loss, adapter.get(), &options);
  EXPECT_EQ(options.kind, MOX_ROUTER_DYNAMIC);
  EXPECT_EQ(options.experts, describe(adapter).experts);
  EXPECT_EQ(options.top_p, 0.5F);
  EXPECT_EQ(options.temperature, 1.5F);
  EXPECT_EQ(options.balance_coefficient, 0.001);
  EXPECT_EQ(options.layers, 3);
  EXPECT_EQ(options.sequences, 5);
  EXPECT_EQ(options.mask, &mask);
}

}  // namespace
}  // namespace api_test
