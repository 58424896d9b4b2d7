// Every adapter of the parity cases over its base: what the configuration says, and the factors as stored.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <optional>

#include "adapter/open_adapter.h"
#include "adapter_folders.h"
#include "checkpoint/adapter_tensors.h"

namespace moxie::test {
namespace {

using adapter::Adapter;
using adapter::LoraSets;
using adapter::open_adapter;

// One adapter with its tensors, to compare against.
struct Opened {
  explicit Opened(const std::string& name, const std::string& base_name = "llama-h48-float32")
      : base(parity_base(base_name)),
        adapter(open_adapter(parity_adapter(name), base.linears)),
        tensors(checkpoint::open_adapter_tensors(parity_adapter(name))) {}

  [[nodiscard]] std::vector<float> stored(const std::string& name) const {
    const int64_t index = tensors->find(name);
    if (index < 0) {
      ADD_FAILURE() << "no tensor " << name;
      return {};
    }
    checkpoint::TensorReader reader(*tensors);
    return reader.read_float32(name, tensors->entries()[static_cast<size_t>(index)].shape);
  }

  Base base;
  Adapter adapter;
  std::unique_ptr<checkpoint::TensorSource> tensors;
};

std::vector<float> rows(const std::vector<float>& matrix, int64_t columns, int64_t first, int64_t count) {
  return {matrix.begin() + first * columns, matrix.begin() + (first + count) * columns};
}

std::string base_of(const std::string& adapter) {
  if (adapter.starts_with("h128-")) return "llama-h128-float32";
  if (adapter.starts_with("h64-")) return "llama-h64-bfloat16";
  if (adapter.starts_with("mistral40-")) return "mistral-h40-float32";
  if (adapter == "mixlora-llama") return "llama-gqa";
  if (adapter == "mixlora-mistral") return "mistral-plain";
  return "llama-h48-float32";
}

TEST(ParityAdapters, AllOfMoePeftsOpen) {
  int opened = 0;
  for (const auto& entry : std::filesystem::directory_iterator(std::string(MOXIE_TEST_DATA) + "/parity/adapters")) {
    const std::string name = entry.path().filename().string();
    if (!std::filesystem::exists(entry.path() / "adapter_model.bin")) continue;
    SCOPED_TRACE(name);
    const Base base = parity_base(base_of(name));
    const auto tensors = checkpoint::open_adapter_tensors(entry.path().string());
    int64_t elements = 0;
    for (const auto& tensor : tensors->entries()) {
      if (tensor.name != "classifier") elements += tensor.elements();
    }
    const Adapter adapter = open_adapter(entry.path().string(), base.linears);
    EXPECT_EQ(adapter.name, name);
    EXPECT_EQ(adapter.layers.size(), base.linears.layers.size());
    EXPECT_EQ(adapter.parameters, elements);  // nothing of the file is left behind
    EXPECT_GE(adapter.bytes, elements * 4);
    ++opened;
  }
  EXPECT_GE(opened, 50);
}

TEST(ParityAdapters, LoraKeepsItsFactorsAsStored) {
  const Opened lora("h48-lora-r8");
  EXPECT_EQ(lora.adapter.kind, MOX_ADAPTER_LORA);
  EXPECT_EQ(lora.adapter.rank, 8);
  EXPECT_EQ(lora.adapter.experts, 0);
  EXPECT_FALSE(lora.adapter.has_router_loss);
  for (size_t layer = 0; layer < 2; ++layer) {
    const std::string prefix = "base_model.model.model.layers." + std::to_string(layer) + ".";
    const auto& attention = lora.adapter.layers[layer].attention;
    const auto& feed_forward = lora.adapter.layers[layer].feed_forward;
    const std::vector<std::pair<std::string, const std::optional<LoraSets>*>> linears = {
        {"self_attn.q_proj", &attention.q},   {"self_attn.k_proj", &attention.k},    {"self_attn.v_proj", &attention.v},
        {"self_attn.o_proj", &attention.o},   {"mlp.gate_proj", &feed_forward.gate}, {"mlp.up_proj", &feed_forward.up},
        {"mlp.down_proj", &feed_forward.down}};
    for (const auto& [name, place] : linears) {
      SCOPED_TRACE(name);
      ASSERT_TRUE(place->has_value());
      const LoraSets& sets = **place;
      EXPECT_EQ(sets.sets, 1);
      EXPECT_EQ(sets.rank, 8);
      EXPECT_EQ(sets.scaling, 2.0F);
      EXPECT_EQ(unpacked(sets.a), lora.stored(prefix + name + ".lora_A.weight"));
      ASSERT_EQ(sets.b.sets(), 1);
      EXPECT_EQ(unpacked(sets.b, 0), lora.stored(prefix + name + ".lora_B.weight"));
      EXPECT_EQ(sets.a.sets(), 1);
      EXPECT_TRUE(sets.rescale.empty());
      EXPECT_FALSE(sets.router.has_value());
    }
    EXPECT_FALSE(feed_forward.router.has_value());
  }
}

TEST(ParityAdapters, ScalingsAreAlphaOverRankOrItsRoot) {
  const auto gate_scaling = [](const std::string& name) {
    return Opened(name).adapter.layers[0].feed_forward.gate->scaling;
  };
  EXPECT_EQ(gate_scaling("h48-rslora-r16"), 1.0F);
  EXPECT_EQ(gate_scaling("h48-lora-r1"), 1.0F);
  EXPECT_EQ(gate_scaling("h48-mixlora-top2-e3"), 0.375F);
  EXPECT_FLOAT_EQ(gate_scaling("h48-mixlora-rslora"), static_cast<float>(4 / std::sqrt(5.0)));
  EXPECT_FLOAT_EQ(gate_scaling("h48-loramoe-rslora"), static_cast<float>(4 / std::sqrt(5.0)));
}

TEST(ParityAdapters, MixLoraStandsItsExpertsSideBySide) {
  const Opened mixlora("h48-mixlora-top3-e8");
  EXPECT_EQ(mixlora.adapter.experts, 8);
  EXPECT_EQ(mixlora.adapter.top_k, 3);
  EXPECT_TRUE(mixlora.adapter.has_router_loss);
  const auto& feed_forward = mixlora.adapter.layers[1].feed_forward;
  ASSERT_TRUE(feed_forward.router.has_value());
  EXPECT_EQ(feed_forward.router->kind, MOX_ROUTER_MIXLORA);
  EXPECT_EQ(feed_forward.router->places(), 3);
  EXPECT_EQ(feed_forward.router->in, 48);
  EXPECT_EQ(unpacked(feed_forward.router->gate), mixlora.stored("mixlora.layers.1.mlp.moe_gate.weight"));
  EXPECT_EQ(feed_forward.activation, MOX_ACTIVATION_SILU);

  const LoraSets& up = *feed_forward.up;
  EXPECT_EQ(up.sets, 8);
  EXPECT_EQ(up.rank, 2);
  ASSERT_EQ(up.b.sets(), 8);
  const LoraSets& down = *feed_forward.down;
  ASSERT_EQ(down.a.sets(), 8);
  for (int64_t expert = 0; expert < 8; ++expert) {
    const std::string ending = ".experts." + std::to_string(expert);
    const std::string prefix = "mixlora.layers.1.mlp.";
    EXPECT_EQ(unpacked(up.a, expert), mixlora.stored(prefix + "up_proj" + ending + ".lora_A.weight"));
    EXPECT_EQ(unpacked(up.b, expert), mixlora.stored(prefix + "up_proj" + ending + ".lora_B.weight"));
    EXPECT_EQ(unpacked(down.a, expert), mixlora.stored(prefix + "down_proj" + ending + ".lora_A.weight"));
    EXPECT_EQ(unpacked(down.b, expert), mixlora.stored(prefix + "down_proj" + ending + ".lora_B.weight"));
  }
}

TEST(ParityAdapters, MixLoraRoutesWithoutFactorsInTheFeedForward) {
  const Opened attention("h48-mixlora-attention-only");
  const auto& layer = attention.adapter.layers[0];
  EXPECT_TRUE(layer.attention.q && layer.attention.v);
  EXPECT_EQ(layer.attention.q->sets, 1);
  EXPECT_TRUE(layer.feed_forward.router.has_value());
  EXPECT_FALSE(layer.feed_forward.gate || layer.feed_forward.up || layer.feed_forward.down);
}

TEST(ParityAdapters, ExpertLoraHoldsForExpertsAndTheRestForAttention) {
  const Opened own("h48-mixlora-expert-rslora");
  EXPECT_EQ(own.adapter.rank, 5);
  EXPECT_EQ(own.adapter.layers[0].attention.q->rank, 8);
  EXPECT_EQ(own.adapter.layers[0].attention.q->scaling, 2.0F);
  EXPECT_EQ(own.adapter.layers[0].feed_forward.gate->rank, 5);
  EXPECT_FLOAT_EQ(own.adapter.layers[0].feed_forward.gate->scaling, static_cast<float>(3 / std::sqrt(5.0)));
  const Opened inherited("h48-mixlora-inherit");
  EXPECT_FLOAT_EQ(inherited.adapter.layers[0].attention.q->scaling, static_cast<float>(3 / std::sqrt(6.0)));
  EXPECT_FLOAT_EQ(inherited.adapter.layers[0].feed_forward.down->scaling, static_cast<float>(3 / std::sqrt(2.0)));
}

TEST(ParityAdapters, RoutersCarryTheirSettings) {
  const Opened dynamic("h48-dynamic-p50-t15");
  const auto& top_p = *dynamic.adapter.layers[0].feed_forward.router;
  EXPECT_EQ(top_p.kind, MOX_ROUTER_DYNAMIC);
  EXPECT_EQ(top_p.top_p, 0.5F);
  EXPECT_EQ(top_p.temperature, 1.5F);
  EXPECT_EQ(top_p.places(), 6);
  const Opened capacity("h48-switch-c2");
  EXPECT_EQ(capacity.adapter.layers[0].feed_forward.router->kind, MOX_ROUTER_SWITCH);
  EXPECT_EQ(capacity.adapter.layers[0].feed_forward.router->capacity, 2);
  EXPECT_EQ(capacity.adapter.layers[0].feed_forward.router->places(), 1);
  EXPECT_EQ(capacity.adapter.capacity, 2);
  const Opened gelu("h48-mixlora-gelu");
  EXPECT_EQ(gelu.adapter.layers[0].feed_forward.activation, MOX_ACTIVATION_GELU_TANH);
  const Opened mola("h48-mola-attn");
  EXPECT_TRUE(mola.adapter.has_router_loss);
  EXPECT_EQ(mola.adapter.router_kind, MOX_ROUTER_MOLA);
  EXPECT_EQ(mola.adapter.balance_coefficient, 0.02);
}

TEST(ParityAdapters, PluggedInExpertsThatAllActAreOneSetWithTheirOwnRouter) {
  const Opened loramoe("h48-loramoe-all");
  const auto& layer = loramoe.adapter.layers[1];
  ASSERT_TRUE(layer.attention.q.has_value());
  EXPECT_FALSE(layer.attention.q->router.has_value());  // plain LoRA on attention
  EXPECT_EQ(layer.attention.q->rank, 4);
  const LoraSets& down = *layer.feed_forward.down;
  EXPECT_EQ(down.sets, 1);
  EXPECT_EQ(down.expert_rank, 4);
  EXPECT_EQ(down.rank, 16);
  EXPECT_EQ(down.a.sets(), 1);
  ASSERT_TRUE(down.router.has_value());
  EXPECT_EQ(down.router->kind, MOX_ROUTER_LORAMOE);
  EXPECT_EQ(down.router->in, down.in);
  const std::string prefix = "loramoe.layers.1.mlp.down_proj.";
  EXPECT_EQ(unpacked(down.router->gate), loramoe.stored(prefix + "moe_gate.weight"));
  const std::vector<float> a = unpacked(down.a);
  const std::vector<float> b = unpacked(down.b, 0);
  for (int64_t expert = 0; expert < 4; ++expert) {
    const std::string name = prefix + "experts." + std::to_string(expert);
    EXPECT_EQ(rows(a, down.in, expert * 4, 4), loramoe.stored(name + ".lora_A.weight"));
    const std::vector<float> stored = loramoe.stored(name + ".lora_B.weight");
    for (int64_t row = 0; row < down.out; ++row) {
      for (int64_t j = 0; j < 4; ++j) {
        ASSERT_EQ(b[static_cast<size_t>(row * 16 + expert * 4 + j)], stored[static_cast<size_t>(row * 4 + j)]);
      }
    }
  }
}

TEST(ParityAdapters, PluggedInExpertsThatRowsChooseAreSetsWithOneRouter) {
  const Opened mola("h48-mola-k2");
  EXPECT_FALSE(mola.adapter.has_router_loss);
  const LoraSets& v = *mola.adapter.layers[0].attention.v;
  ASSERT_TRUE(v.router.has_value());
  EXPECT_EQ(v.router->kind, MOX_ROUTER_MOLA);
  EXPECT_EQ(v.router->top_k, 2);
  EXPECT_EQ(v.sets, v.router->experts);
  for (int64_t expert = 0; expert < v.sets; ++expert) {
    const std::string name = "mola.layers.0.self_attn.v_proj.experts." + std::to_string(expert);
    EXPECT_EQ(unpacked(v.a, expert), mola.stored(name + ".lora_A.weight"));
    EXPECT_EQ(unpacked(v.b, expert), mola.stored(name + ".lora_B.weight"));
  }
}

TEST(ParityAdapters, DoraWithoutMagnitudesComputesWhatLoraWould) {
  const Opened dora("h48-dora-r4");
  EXPECT_TRUE(dora.adapter.dora);
  EXPECT_TRUE(dora.adapter.layers[0].feed_forward.gate->rescale.empty());
  const Opened mixdora("h48-mixdora");
  EXPECT_TRUE(mixdora.adapter.dora);
  EXPECT_TRUE(mixdora.adapter.layers[0].feed_forward.down->rescale.empty());
}

TEST(ParityAdapters, DoraRescalesByTheMagnitudeOverTheNorm) {
  const Opened dora("h48-mixdora-magnitude");
  const LoraSets& up = *dora.adapter.layers[1].feed_forward.up;
  ASSERT_EQ(up.rescale.size(), 4U);
  const std::vector<float> weight = unpacked(*dora.base.linears.layers[1].up.weight);
  for (size_t expert = 0; expert < 4; ++expert) {
    const std::string name = "mixlora.layers.1.mlp.up_proj.experts." + std::to_string(expert);
    const std::vector<float> a = dora.stored(name + ".lora_A.weight");
    const std::vector<float> b = dora.stored(name + ".lora_B.weight");
    const std::vector<float> magnitude = dora.stored(name + ".lora_magnitude_vector");
    ASSERT_EQ(up.rescale[expert].size(), magnitude.size());
    for (size_t row = 0; row < magnitude.size(); ++row) {
      double squares = 0;
      for (size_t column = 0; column < 48; ++column) {
        double delta = 0;
        for (size_t j = 0; j < 4; ++j) delta += double{b[row * 4 + j]} * double{a[j * 48 + column]};
        const double value = double{weight[row * 48 + column]} + 2.0 * delta;
        squares += value * value;
      }
      EXPECT_FLOAT_EQ(up.rescale[expert][row], static_cast<float>(double{magnitude[row]} / std::sqrt(squares)));
    }
  }
}

TEST(ParityAdapters, DoraReachesLoraMoesAttentionOnly) {
  const Opened dora("h48-loramoe-dora");
  EXPECT_TRUE(dora.adapter.dora);
  EXPECT_TRUE(dora.adapter.layers[0].feed_forward.down->rescale.empty());
  EXPECT_FALSE(Opened("h48-mola-dora").adapter.dora);
}

TEST(ParityAdapters, ALoneFeedForwardKeepsItsLayerAndChecksTheRest) {
  Base base = parity_base("llama-h48-float32");
  keep_only_feed_forward(&base, 1);
  const Adapter adapter = open_adapter(parity_adapter("h48-mixlora-top2-e8"), base.linears);
  ASSERT_EQ(adapter.layers.size(), 1U);
  EXPECT_TRUE(adapter.layers[0].attention.empty());
  const Opened whole("h48-mixlora-top2-e8");
  EXPECT_EQ(unpacked(adapter.layers[0].feed_forward.router->gate),
            unpacked(whole.adapter.layers[1].feed_forward.router->gate));
  EXPECT_EQ(unpacked(adapter.layers[0].feed_forward.gate->a), unpacked(whole.adapter.layers[1].feed_forward.gate->a));
  EXPECT_LT(adapter.parameters, whole.adapter.parameters / 2);

  // Over the caller's own weights nothing is known of attention, nor how many layers there are.
  for (auto linear : {&adapter::BaseLayer::q, &adapter::BaseLayer::k, &adapter::BaseLayer::v, &adapter::BaseLayer::o}) {
    base.linears.layers[0].*linear = {};
  }
  base.linears.layer_count = -1;
  const Adapter over_own = open_adapter(parity_adapter("h48-mixlora-top2-e8"), base.linears);
  EXPECT_EQ(over_own.parameters, adapter.parameters);
  base.linears.only_layer = 7;
  expect_refusal([&] { open_adapter(parity_adapter("h48-mixlora-top2-e8"), base.linears); }, MOX_NOT_FOUND,
                 {"layer 7"});
}

}  // namespace
}  // namespace moxie::test
