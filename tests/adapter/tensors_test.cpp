// Adapters whose tensors do not fit their configuration or their base: one refusal for each way.
#include <gtest/gtest.h>

#include <limits>

#include "adapter/open_adapter.h"
#include "adapter_folders.h"

namespace moxie::test {
namespace {

using adapter::Adapter;
using adapter::open_adapter;

const std::vector<std::string> targets = {"q_proj", "gate_proj", "up_proj", "down_proj"};

struct Kind {
  std::string peft_type, strategy;
};

class AdapterTensors : public testing::Test {
 protected:
  // What the change makes of a complete adapter must be refused so.
  static void expect_refused(const Kind& kind, const std::function<void(AdapterFolder*)>& change, mox_status status,
                             std::vector<std::string> parts) {
    AdapterFolder folder(kind.peft_type, kind.strategy, targets);
    const Base base = small_base();
    EXPECT_NO_THROW(open_adapter(folder.write(), base.linears));  // complete before the change
    change(&folder);
    folder.write();
    parts.emplace_back("adapter_model.safetensors");
    expect_refusal([&] { open_adapter(folder.path(), base.linears); }, status, parts);
  }
};

const Kind lora = {"LORA", ""};
const Kind mixlora = {"MIXLORA", "mixlora"};
const Kind loramoe = {"LORAMOE", "loramoe"};
const Kind mola = {"MOLA", "mola"};

const std::string lora_gate_a = "base_model.model.model.layers.1.mlp.gate_proj.lora_A.weight";
const std::string lora_gate_b = "base_model.model.model.layers.1.mlp.gate_proj.lora_B.weight";

TEST_F(AdapterTensors, AWithoutB) {
  expect_refused(lora, [](AdapterFolder* f) { f->tensors.erase(lora_gate_b); }, MOX_INVALID_FILE,
                 {lora_gate_a, lora_gate_b});
}

TEST_F(AdapterTensors, BWithoutA) {
  const std::string a = "mixlora.layers.0.mlp.up_proj.experts.1.lora_A.weight";
  expect_refused(mixlora, [&](AdapterFolder* f) { f->tensors.erase(a); }, MOX_INVALID_FILE, {a, "experts.1.lora_B"});
}

TEST_F(AdapterTensors, RankOtherThanConfigured) {
  expect_refused(lora, [](AdapterFolder* f) { f->config["r"] = 3; }, MOX_INVALID_FILE,
                 {"layers.0.self_attn.q_proj.lora_A.weight", "[2, 8]", "[3, 8]"});
}

TEST_F(AdapterTensors, RankOfBOtherThanOfA) {
  expect_refused(lora,
                 [](AdapterFolder* f) {
                   f->add(lora_gate_b, {12, 3});
                 },
                 MOX_INVALID_FILE, {lora_gate_b, "[12, 3]", "[12, 2]"});
}

TEST_F(AdapterTensors, InputOfAnotherBase) {
  expect_refused(lora,
                 [](AdapterFolder* f) {
                   f->add(lora_gate_a, {2, 7});
                 },
                 MOX_INVALID_FILE, {lora_gate_a, "[2, 7]", "[2, 8]"});
}

TEST_F(AdapterTensors, TransposedFactor) {
  expect_refused(lora,
                 [](AdapterFolder* f) {
                   f->add(lora_gate_a, {8, 2});
                 },
                 MOX_INVALID_FILE, {lora_gate_a, "[8, 2]", "[2, 8]"});
}

TEST_F(AdapterTensors, MixLoraGateMissing) {
  const std::string gate = "mixlora.layers.1.mlp.moe_gate.weight";
  expect_refused(mixlora, [&](AdapterFolder* f) { f->tensors.erase(gate); }, MOX_INVALID_FILE,
                 {gate, "missing", "[3, 8]"});
}

TEST_F(AdapterTensors, PluggedInGateMissing) {
  const std::string gate = "loramoe.layers.0.mlp.down_proj.moe_gate.weight";
  expect_refused(loramoe, [&](AdapterFolder* f) { f->tensors.erase(gate); }, MOX_INVALID_FILE,
                 {gate, "missing", "[3, 12]"});
}

TEST_F(AdapterTensors, GateWithAnotherNumberOfExperts) {
  const std::string gate = "mola.layers.0.self_attn.q_proj.moe_gate.weight";
  expect_refused(mola, [&](AdapterFolder* f) { f->add(gate, {4, 8}); }, MOX_INVALID_FILE, {gate, "[4, 8]", "[3, 8]"});
}

TEST_F(AdapterTensors, ExpertMissing) {
  expect_refused(mixlora,
                 [](AdapterFolder* f) {
                   f->tensors.erase("mixlora.layers.1.mlp.down_proj.experts.2.lora_A.weight");
                   f->tensors.erase("mixlora.layers.1.mlp.down_proj.experts.2.lora_B.weight");
                 },
                 MOX_INVALID_FILE, {"mixlora.layers.1.mlp.down_proj.experts.2.lora_A.weight", "missing"});
}

TEST_F(AdapterTensors, ExpertTooMany) {
  expect_refused(mola,
                 [](AdapterFolder* f) {
                   f->add("mola.layers.1.mlp.up_proj.experts.3.lora_A.weight", {2, 8});
                 },
                 MOX_INVALID_FILE, {"no use", "experts.3.lora_A.weight"});
}

TEST_F(AdapterTensors, TargetWithoutTensorsInOneLayer) {
  expect_refused(lora,
                 [](AdapterFolder* f) {
                   f->tensors.erase(lora_gate_a);
                   f->tensors.erase(lora_gate_b);
                 },
                 MOX_INVALID_FILE, {lora_gate_a, "missing", "target_modules"});
}

TEST_F(AdapterTensors, TensorOfALinearThatIsNoTarget) {
  expect_refused(lora,
                 [](AdapterFolder* f) {
                   f->config["target_modules"] = {"q_proj", "gate_proj", "up_proj"};
                 },
                 MOX_INVALID_FILE, {"no use", "down_proj.lora_A.weight"});
}

TEST_F(AdapterTensors, TensorOfANameTheBaseDoesNotHave) {
  expect_refused(lora,
                 [](AdapterFolder* f) {
                   f->config["target_modules"].push_back("qkv_proj");
                   f->add("base_model.model.model.layers.0.self_attn.qkv_proj.lora_A.weight", {2, 8});
                 },
                 MOX_INVALID_FILE, {"no use", "qkv_proj.lora_A.weight"});
}

TEST_F(AdapterTensors, TensorOfALayerTheBaseDoesNotHave) {
  expect_refused(lora,
                 [](AdapterFolder* f) {
                   f->add("base_model.model.model.layers.2.mlp.up_proj.lora_A.weight", {2, 8});
                 },
                 MOX_INVALID_FILE, {"no use", "layers.2.mlp.up_proj"});
}

TEST_F(AdapterTensors, TensorNobodyKnows) {
  expect_refused(mixlora, [](AdapterFolder* f) { f->add("mixlora.norm.weight", {8}); }, MOX_INVALID_FILE,
                 {"no use", "mixlora.norm.weight"});
}

TEST_F(AdapterTensors, TensorsOfAnotherKind) {
  expect_refused(mixlora, [](AdapterFolder* f) { f->config["peft_type"] = "LORA"; }, MOX_INVALID_FILE,
                 {"base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight", "missing"});
}

TEST_F(AdapterTensors, InfinityInAFactor) {
  expect_refused(lora,
                 [](AdapterFolder* f) { f->tensors[lora_gate_a].values[11] = std::numeric_limits<float>::infinity(); },
                 MOX_INVALID_FILE, {lora_gate_a, "inf", "[1, 3]", "finite"});
}

TEST_F(AdapterTensors, NanInAGate) {
  const std::string gate = "mixlora.layers.0.mlp.moe_gate.weight";
  expect_refused(mixlora,
                 [&](AdapterFolder* f) { f->tensors[gate].values[0] = std::numeric_limits<float>::quiet_NaN(); },
                 MOX_INVALID_FILE, {gate, "nan", "[0, 0]"});
}

TEST_F(AdapterTensors, DtypeThatWeightsDoNotHave) {
  expect_refused(lora, [](AdapterFolder* f) { f->tensors[lora_gate_a].dtype = "F64"; }, MOX_UNSUPPORTED,
                 {lora_gate_a, "float64"});
}

TEST_F(AdapterTensors, MagnitudeWithoutDora) {
  const std::string magnitude = "base_model.model.model.layers.0.mlp.up_proj.lora_magnitude_vector";
  expect_refused(lora, [&](AdapterFolder* f) { f->add(magnitude, {12}); }, MOX_INVALID_FILE,
                 {magnitude, "use_dora is false"});
}

TEST_F(AdapterTensors, MagnitudeOfPluggedInExperts) {
  const std::string magnitude = "mola.layers.0.mlp.up_proj.experts.0.lora_magnitude_vector";
  expect_refused(mola,
                 [&](AdapterFolder* f) {
                   f->config["use_dora"] = true;
                   f->add(magnitude, {12});
                 },
                 MOX_INVALID_FILE, {magnitude, "without effect"});
}

TEST_F(AdapterTensors, MagnitudeOfAnotherSize) {
  const std::string magnitude = "base_model.model.model.layers.0.mlp.up_proj.lora_magnitude_vector";
  expect_refused(lora,
                 [&](AdapterFolder* f) {
                   f->config["use_dora"] = true;
                   f->add(magnitude, {8});
                 },
                 MOX_INVALID_FILE, {magnitude, "[8]", "[12]"});
}

TEST_F(AdapterTensors, ClassifierWithoutItsTask) {
  expect_refused(lora,
                 [](AdapterFolder* f) {
                   f->add("classifier", {3, 8});
                 },
                 MOX_INVALID_FILE, {"no use", "classifier"});
}

TEST_F(AdapterTensors, ClassifierOfAnotherWidth) {
  expect_refused(lora,
                 [](AdapterFolder* f) {
                   f->config["task_type"] = "SEQ_CLS";
                   f->add("classifier", {3, 9});
                 },
                 MOX_INVALID_FILE, {"classifier", "[3, 9]", "[3, 8]"});
}

TEST(AdapterMagnitudes, AreRefusedOverANormOfZero) {
  AdapterFolder folder("LORA", "", {"up_proj"});
  folder.config["use_dora"] = true;
  const std::string prefix = "base_model.model.model.layers.0.mlp.up_proj.";
  folder.add(prefix + "lora_magnitude_vector", {12});
  std::vector<float>& b = folder.tensors[prefix + "lora_B.weight"].values;
  b[10] = b[11] = 0;  // row 5
  Base base = small_base();
  auto zeros = repeatable_values("up0", 12 * 8);
  std::fill(zeros.begin() + 5 * 8, zeros.begin() + 6 * 8, 0.0F);
  kernels::PackedMatrix weight(MOX_F32, 12, 8);
  weight.pack_rows(0, 12, zeros.data(), MOX_F32, 8);
  base.linears.layers[0].up.weight = &weight;
  expect_refusal([&] { open_adapter(folder.write(), base.linears); }, MOX_INVALID_FILE,
                 {prefix.substr(0, prefix.size() - 1), "row 5", "magnitude"});
}

TEST(AdapterMagnitudes, OfSomeExpertsLeaveTheOthersAtOne) {
  AdapterFolder folder("MIXLORA", "mixlora", {"down_proj"});
  folder.config["use_dora"] = true;
  folder.add("mixlora.layers.0.mlp.down_proj.experts.1.lora_magnitude_vector", {8});
  const Base base = small_base();
  const Adapter adapter = open_adapter(folder.write(), base.linears);
  const auto& rescale = adapter.layers[0].feed_forward.down->rescale;
  ASSERT_EQ(rescale.size(), 3U);
  EXPECT_EQ(rescale[0], std::vector<float>(8, 1.0F));
  EXPECT_NE(rescale[1], std::vector<float>(8, 1.0F));
  EXPECT_TRUE(adapter.layers[1].feed_forward.down->rescale.empty());
}

TEST(AdapterTargets, NamesTheBaseDoesNotHaveAreIgnored) {
  AdapterFolder folder("LORA", "", {"q_proj"});
  folder.config["target_modules"] = {"q_proj", "qkv_proj", "anything"};
  const Base base = small_base();
  EXPECT_NO_THROW(open_adapter(folder.write(), base.linears));
  folder.config["target_modules"] = {"qkv_proj"};
  folder.tensors.clear();
  folder.add("classifier", {2, 8});
  expect_refusal([&] { open_adapter(folder.write(), base.linears); }, MOX_INVALID_FILE, {"none of the base's linears"});
}

TEST(AdapterTypes, HalfPrecisionIsWidened) {
  AdapterFolder folder("LORA", "", {"q_proj"});
  const std::string prefix = "base_model.model.model.layers.0.self_attn.q_proj.";
  folder.tensors[prefix + "lora_A.weight"] = {"BF16", {2, 8}, std::vector<float>(16, -0.375F)};
  folder.tensors[prefix + "lora_B.weight"] = {"F16", {8, 2}, std::vector<float>(16, 1.25F)};
  const Base base = small_base();
  const Adapter adapter = open_adapter(folder.write(), base.linears);
  EXPECT_EQ(unpacked(adapter.layers[0].attention.q->a), std::vector<float>(16, -0.375F));
  EXPECT_EQ(unpacked(adapter.layers[0].attention.q->b, 0), std::vector<float>(16, 1.25F));
}

TEST(AdapterOverPlainFeedForward, TakesItsTwoLinears) {
  AdapterFolder folder("MIXLORA", "mixlora", {});
  folder.config["target_modules"] = {"fc1", "fc2", "dense"};
  for (int layer = 0; layer < 2; ++layer) {
    const std::string prefix = "mixlora.layers." + std::to_string(layer) + ".";
    folder.add(prefix + "self_attn.dense.lora_A.weight", {2, 8});
    folder.add(prefix + "self_attn.dense.lora_B.weight", {8, 2});
    for (int expert = 0; expert < 3; ++expert) {
      const std::string ending = ".experts." + std::to_string(expert);
      folder.add(prefix + "mlp.fc1" + ending + ".lora_A.weight", {2, 8});
      folder.add(prefix + "mlp.fc1" + ending + ".lora_B.weight", {12, 2});
      folder.add(prefix + "mlp.fc2" + ending + ".lora_A.weight", {2, 12});
      folder.add(prefix + "mlp.fc2" + ending + ".lora_B.weight", {8, 2});
    }
  }
  const Base base = small_base(false);
  const Adapter adapter = open_adapter(folder.write(), base.linears);
  EXPECT_EQ(adapter.layers[0].feed_forward.gate->out, 12);
  EXPECT_FALSE(adapter.layers[0].feed_forward.up.has_value());
  EXPECT_EQ(adapter.layers[0].feed_forward.down->a.sets(), 3);
  EXPECT_TRUE(adapter.layers[0].attention.o.has_value());
}

TEST(AdapterOneExpert, IsOneSet) {
  AdapterFolder folder("MIXLORA", "mixlora-switch", {"down_proj"});
  folder.config["num_experts"] = 1;
  for (auto entry = folder.tensors.begin(); entry != folder.tensors.end();) {
    const bool other =
        entry->first.find("experts.1.") != std::string::npos || entry->first.find("experts.2.") != std::string::npos;
    entry = other ? folder.tensors.erase(entry) : std::next(entry);
  }
  for (int layer = 0; layer < 2; ++layer) {
    folder.add("mixlora.layers." + std::to_string(layer) + ".mlp.moe_gate.weight", {1, 8});
  }
  const Base base = small_base();
  const Adapter adapter = open_adapter(folder.write(), base.linears);
  const auto& down = *adapter.layers[0].feed_forward.down;
  EXPECT_EQ(down.a.sets(), 1);
  EXPECT_EQ(down.b.sets(), 1);
}

TEST(AdapterOverBankOfExperts, OnlyAttentionCanBeAdapted) {
  const Base bank = small_bank();
  AdapterFolder attention("LORA", "", {"q_proj", "v_proj"});
  const Adapter adapter = open_adapter(attention.write(), bank.linears);
  EXPECT_TRUE(adapter.layers[0].attention.q && adapter.layers[1].attention.v);

  AdapterFolder routed("MIXLORA", "mixlora", {"q_proj"});
  expect_refusal([&] { open_adapter(routed.write(), bank.linears); }, MOX_UNSUPPORTED,
                 {"mixlora.layers.0.mlp.moe_gate.weight", "mixtral"});
  AdapterFolder feed_forward("LORA", "", {"q_proj", "up_proj"});
  expect_refusal([&] { open_adapter(feed_forward.write(), bank.linears); }, MOX_UNSUPPORTED, {"up_proj", "mixtral"});
  feed_forward.config["target_modules"] = {"q_proj"};
  expect_refusal([&] { open_adapter(feed_forward.write(), bank.linears); }, MOX_UNSUPPORTED,
                 {"layers.0.mlp.up_proj.lora_A.weight", "mixtral"});
}

TEST(AdapterOverOneLayer, TensorsOfOtherLayersMustBeWellFormed) {
  Base base = small_base();
  keep_only_feed_forward(&base, 0);
  AdapterFolder folder("LORA", "", {"q_proj", "up_proj"});
  EXPECT_NO_THROW(open_adapter(folder.write(), base.linears));
  const std::string other = "base_model.model.model.layers.1.mlp.up_proj.lora_A.weight";
  folder.add(other, {3, 8});
  expect_refusal([&] { open_adapter(folder.write(), base.linears); }, MOX_INVALID_FILE, {other, "[3, 8]", "[2, 8]"});
  folder.tensors.erase(other);
  expect_refusal([&] { open_adapter(folder.write(), base.linears); }, MOX_INVALID_FILE, {other});
  folder.add(other, {2, 8}).dtype = "F64";
  expect_refusal([&] { open_adapter(folder.write(), base.linears); }, MOX_UNSUPPORTED, {other, "float64"});
}

}  // namespace
}  // namespace moxie::test
