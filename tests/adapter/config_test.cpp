// adapter_config.json: what it means, and one refusal for everything that cannot be honoured.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <fstream>

#include "adapter/adapter_config.h"
#include "adapter_folders.h"

namespace moxie::test {
namespace {

using adapter::AdapterConfig;
using adapter::read_adapter_config;
using nlohmann::json;

AdapterConfig read(const json& config) {
  AdapterFolder folder("LORA", "", {"q_proj"});
  folder.config = config;
  return read_adapter_config(folder.write());
}

json minimal() { return {{"r", 4}, {"lora_alpha", 8}, {"target_modules", {"q_proj"}}}; }

json with(json config, const json& changes) {
  config.update(changes);
  return config;
}

json mixlora_config(const json& changes = json::object()) {
  return with(with(minimal(), {{"peft_type", "MIXLORA"}, {"routing_strategy", "mixlora"}, {"num_experts", 4}}),
              changes);
}

TEST(AdapterConfigKind, IsDecidedByPeftTypeThenByRoutingStrategy) {
  EXPECT_EQ(read(minimal()).kind, MOX_ADAPTER_LORA);
  EXPECT_EQ(read(with(minimal(), {{"peft_type", nullptr}})).kind, MOX_ADAPTER_LORA);
  const json experts = {{"num_experts", 4}};
  EXPECT_EQ(read(with(with(minimal(), experts), {{"routing_strategy", "mixlora-switch"}})).kind,
            MOX_ADAPTER_MIXLORA_SWITCH);
  EXPECT_EQ(read(with(with(minimal(), experts), {{"routing_strategy", "loramoe"}})).kind, MOX_ADAPTER_LORAMOE);
  EXPECT_EQ(read(with(with(minimal(), experts), {{"peft_type", "MOLA"}})).kind, MOX_ADAPTER_MOLA);
  EXPECT_EQ(read(with(minimal(), {{"peft_type", "LORA"}, {"routing_strategy", "mixlora"}})).kind, MOX_ADAPTER_LORA);
  EXPECT_EQ(read(with(with(minimal(), experts), {{"peft_type", "MOE"}, {"routing_strategy", "mola"}})).kind,
            MOX_ADAPTER_MOLA);
}

TEST(AdapterConfigDefaults, AreTheFormats) {
  const AdapterConfig top_k = read(mixlora_config());
  EXPECT_EQ(top_k.top_k, 2);
  EXPECT_EQ(top_k.activation, MOX_ACTIVATION_BASE);
  EXPECT_TRUE(top_k.router_loss);
  EXPECT_EQ(top_k.balance_coefficient, 0.001);
  const AdapterConfig dynamic = read(mixlora_config({{"routing_strategy", "mixlora-dynamic"}}));
  EXPECT_EQ(dynamic.top_p, 0.8);
  EXPECT_EQ(dynamic.temperature, 0.0);
  EXPECT_EQ(dynamic.top_k, 0);
  const AdapterConfig capacity =
      read(mixlora_config({{"routing_strategy", "mixlora-switch"}, {"sparse_step", nullptr}}));
  EXPECT_EQ(capacity.capacity, 32);
  EXPECT_EQ(capacity.z_coefficient, 0.001);
  const AdapterConfig mola = read(with(minimal(), {{"peft_type", "MOLA"}, {"num_experts", 4}}));
  EXPECT_FALSE(mola.router_loss);
  EXPECT_EQ(mola.top_k, 2);
}

TEST(AdapterConfigScaling, IsAlphaOverRankOrItsRoot) {
  EXPECT_EQ(read(minimal()).plain.scaling(), 2.0);
  EXPECT_EQ(read(with(minimal(), {{"lora_alpha", 0.5}})).plain.scaling(), 0.125);
  EXPECT_EQ(read(with(minimal(), {{"use_rslora", true}})).plain.scaling(), 4.0);
}

TEST(AdapterConfigExpertLora, TakesWhatItLeavesOutFromAroundIt) {
  const AdapterConfig config = read(
      mixlora_config({{"use_rslora", true}, {"use_dora", true}, {"expert_lora", {{"r", 9}, {"use_dora", false}}}}));
  EXPECT_EQ(config.plain.rank, 4);
  EXPECT_TRUE(config.plain.dora);
  EXPECT_EQ(config.experts.rank, 9);
  EXPECT_EQ(config.experts.alpha, 8);
  EXPECT_TRUE(config.experts.rslora);
  EXPECT_FALSE(config.experts.dora);
  EXPECT_DOUBLE_EQ(config.experts.scaling(), 8.0 / 3.0);
  EXPECT_TRUE(read(mixlora_config({{"use_dora", true}, {"expert_lora", {{"r", 3}}}})).experts.dora);
}

TEST(AdapterConfigDora, ReachesMixLorasExpertsButNotPluggedInOnes) {
  EXPECT_TRUE(read(mixlora_config({{"use_dora", true}})).experts.dora);
  const AdapterConfig loramoe =
      read(with(minimal(), {{"peft_type", "LORAMOE"}, {"num_experts", 4}, {"use_dora", true}}));
  EXPECT_TRUE(loramoe.plain.dora);
  EXPECT_FALSE(loramoe.experts.dora);
}

TEST(AdapterConfigTargets, AreAListOrAnObject) {
  EXPECT_THAT(read(with(minimal(), {{"target_modules", {"v_proj", "q_proj", "v_proj"}}})).targets,
              testing::ElementsAre("q_proj", "v_proj"));
  EXPECT_THAT(read(with(minimal(), {{"target_modules", {{"up_proj", true}, {"q_proj", false}}}})).targets,
              testing::ElementsAre("up_proj"));
}

TEST(AdapterConfigActivation, KnowsTransformersNames) {
  const std::map<std::string, mox_activation> names = {{"silu", MOX_ACTIVATION_SILU},
                                                       {"swish", MOX_ACTIVATION_SILU},
                                                       {"gelu", MOX_ACTIVATION_GELU},
                                                       {"gelu_new", MOX_ACTIVATION_GELU_TANH},
                                                       {"gelu_pytorch_tanh", MOX_ACTIVATION_GELU_TANH},
                                                       {"relu", MOX_ACTIVATION_RELU}};
  for (const auto& [name, activation] : names) {
    EXPECT_EQ(read(mixlora_config({{"act_fn", name}})).activation, activation) << name;
  }
  EXPECT_EQ(read(mixlora_config({{"act_fn", nullptr}})).activation, MOX_ACTIVATION_BASE);
}

TEST(AdapterConfigHarmless, FieldsThatChangeNothingArePassedOver) {
  const json harmless = {{"lora_init", "gaussian"},
                         {"inference_mode", true},
                         {"name", "x"},
                         {"revision", nullptr},
                         {"base_model_name_or_path", "base"},
                         {"jitter_noise", 0.1},
                         {"ffn_dropout", 0.1},
                         {"router_init_range", 5.0},
                         {"modules_to_save", nullptr},
                         {"rank_pattern", json::object()},
                         {"fan_in_fan_out", false},
                         {"task_name", "t"}};
  EXPECT_EQ(read(mixlora_config(harmless)).kind, MOX_ADAPTER_MIXLORA);
}

struct Refusal {
  std::string name;
  json changes;         // over a MixLoRA configuration
  std::string without;  // a field to leave out
  mox_status status;
  std::vector<std::string> parts;
};

class AdapterConfigRefusal : public testing::TestWithParam<Refusal> {};

TEST_P(AdapterConfigRefusal, NamesTheFieldAndTheValue) {
  const Refusal& refusal = GetParam();
  json config = mixlora_config(refusal.changes);
  config.erase(refusal.without);
  std::vector<std::string> parts = refusal.parts;
  parts.emplace_back("adapter_config.json");
  expect_refusal([&] { read(config); }, refusal.status, parts);
}

constexpr mox_status invalid = MOX_INVALID_FILE;
constexpr mox_status foreign = MOX_UNSUPPORTED;

INSTANTIATE_TEST_SUITE_P(
    All, AdapterConfigRefusal,
    testing::Values(
        Refusal{"RankMissing", json::object(), "r", invalid, {"r is missing"}},
        Refusal{"RankZero", {{"r", 0}}, "", invalid, {"r is 0"}},
        Refusal{"RankNegative", {{"r", -8}}, "", invalid, {"r is -8"}},
        Refusal{"RankReal", {{"r", 4.5}}, "", invalid, {"r is 4.5", "integer"}},
        Refusal{"RankText", {{"r", "8"}}, "", invalid, {"r is \"8\""}},
        Refusal{"RankHuge", {{"r", 4294967296}}, "", invalid, {"r is 4294967296"}},
        Refusal{"AlphaMissing", json::object(), "lora_alpha", invalid, {"lora_alpha is missing"}},
        Refusal{"AlphaZero", {{"lora_alpha", 0}}, "", invalid, {"lora_alpha is 0"}},
        Refusal{"AlphaNegative", {{"lora_alpha", -1}}, "", invalid, {"lora_alpha is -1"}},
        Refusal{"AlphaText", {{"lora_alpha", "16"}}, "", invalid, {"lora_alpha is \"16\""}},
        Refusal{"AlphaTooLarge", {{"lora_alpha", 1e60}}, "", invalid, {"lora_alpha is 1e+60"}},
        Refusal{"AlphaTooSmall", {{"lora_alpha", 1e-60}}, "", invalid, {"lora_alpha is 1e-60"}},
        Refusal{"ScalingTooSmall", {{"lora_alpha", 2e-38}, {"r", 1000000}}, "", invalid, {"lora_alpha is 2e-38"}},
        Refusal{"DoraText", {{"use_dora", "yes"}}, "", invalid, {"use_dora is \"yes\"", "true or false"}},
        Refusal{"RsloraNumber", {{"use_rslora", 1}}, "", invalid, {"use_rslora is 1"}},
        Refusal{"StrategyMissing", json::object(), "routing_strategy", invalid, {"routing_strategy is missing"}},
        Refusal{"StrategyUnknown", {{"routing_strategy", "mixlora-hash"}}, "", foreign, {"mixlora-hash"}},
        Refusal{"StrategyOfAnotherKind", {{"routing_strategy", "mola"}}, "", invalid, {"routing_strategy is \"mola\""}},
        Refusal{"StrategyUnknownOfLora",
                {{"peft_type", "LORA"}, {"routing_strategy", "x"}},
                "",
                foreign,
                {"routing_strategy is \"x\""}},
        Refusal{"TypeUnknown", {{"peft_type", "ADALORA"}}, "routing_strategy", foreign, {"peft_type is \"ADALORA\""}},
        Refusal{"TypeNumber", {{"peft_type", 3}}, "", invalid, {"peft_type is 3"}},
        Refusal{"ExpertsMissing", json::object(), "num_experts", invalid, {"num_experts is missing"}},
        Refusal{"ExpertsZero", {{"num_experts", 0}}, "", invalid, {"num_experts is 0"}},
        Refusal{"TopKZero", {{"top_k", 0}}, "", invalid, {"top_k is 0"}},
        Refusal{"TopKAboveExperts", {{"top_k", 5}}, "", invalid, {"top_k is 5", "1 to 4"}},
        Refusal{"TopKDefaultAboveExperts", {{"num_experts", 1}}, "", invalid, {"top_k is missing"}},
        Refusal{"TopPZero", {{"routing_strategy", "mixlora-dynamic"}, {"top_p", 0}}, "", invalid, {"top_p is 0"}},
        Refusal{
            "TopPAboveOne", {{"routing_strategy", "mixlora-dynamic"}, {"top_p", 1.5}}, "", invalid, {"top_p is 1.5"}},
        Refusal{"TemperatureNegative",
                {{"routing_strategy", "mixlora-dynamic"}, {"temperature", -0.5}},
                "",
                invalid,
                {"temperature is -0.5"}},
        Refusal{"CapacityZero",
                {{"routing_strategy", "mixlora-switch"}, {"expert_capacity", 0}},
                "",
                invalid,
                {"expert_capacity is 0"}},
        Refusal{"ActivationUnknown", {{"act_fn", "quick_gelu"}}, "", foreign, {"act_fn is \"quick_gelu\""}},
        Refusal{"LossNumber", {{"router_loss", 1}}, "", invalid, {"router_loss is 1"}},
        Refusal{"LossCoefficientNegative", {{"router_aux_loss_coef", -1}}, "", invalid, {"router_aux_loss_coef is -1"}},
        Refusal{"ExpertLoraList", {{"expert_lora", {1}}}, "", invalid, {"expert_lora is [1]", "an object"}},
        Refusal{"ExpertLoraRank", {{"expert_lora", {{"r", 0}}}}, "", invalid, {"expert_lora.r is 0"}},
        Refusal{
            "ExpertLoraAlpha", {{"expert_lora", {{"lora_alpha", -2}}}}, "", invalid, {"expert_lora.lora_alpha is -2"}},
        Refusal{"ExpertLoraUnknown", {{"expert_lora", {{"top_k", 2}}}}, "", foreign, {"expert_lora.top_k is 2"}},
        Refusal{"ExpertLoraOfLoramoe",
                {{"peft_type", "LORAMOE"}, {"routing_strategy", "loramoe"}, {"expert_lora", {{"r", 2}}}},
                "",
                foreign,
                {"expert_lora", "loramoe"}},
        Refusal{"TargetsMissing", json::object(), "target_modules", invalid, {"target_modules is missing"}},
        Refusal{"TargetsPattern", {{"target_modules", "all-linear"}}, "", foreign, {"all-linear"}},
        Refusal{"TargetsNumbers", {{"target_modules", {1, 2}}}, "", invalid, {"target_modules is [1,2]"}},
        Refusal{"TargetsNotBoolean", {{"target_modules", {{"q_proj", 1}}}}, "", invalid, {"q_proj"}},
        Refusal{"FieldUnknown", {{"expert_dropout_at_inference", true}}, "", foreign, {"expert_dropout_at_inference"}},
        Refusal{"Bias", {{"bias", "all"}}, "", foreign, {"bias is \"all\""}},
        Refusal{"RankPattern", {{"rank_pattern", {{"q_proj", 8}}}}, "", foreign, {"rank_pattern"}},
        Refusal{"AlphaPattern", {{"alpha_pattern", {{"q_proj", 8}}}}, "", foreign, {"alpha_pattern"}},
        Refusal{"FanInFanOut", {{"fan_in_fan_out", true}}, "", foreign, {"fan_in_fan_out is true"}},
        Refusal{"ModulesToSave", {{"modules_to_save", {"lm_head"}}}, "", foreign, {"modules_to_save"}},
        Refusal{"TargetParameters", {{"target_parameters", {"experts.down_proj"}}}, "", foreign, {"target_parameters"}},
        Refusal{"LayerReplication", {{"layer_replication", {{0, 4}}}}, "", foreign, {"layer_replication"}},
        Refusal{"LayersToTransform", {{"layers_to_transform", {1}}}, "", foreign, {"layers_to_transform"}},
        Refusal{"LoraBias", {{"lora_bias", true}}, "", foreign, {"lora_bias is true"}},
        Refusal{"TokenIndices", {{"trainable_token_indices", {5}}}, "", foreign, {"trainable_token_indices"}},
        Refusal{"Init", {{"init_lora_weights", "pissa"}}, "", foreign, {"init_lora_weights is \"pissa\""}},
        Refusal{"PeftVersion", {{"peft_version", "0.21.2"}}, "", foreign, {"peft_version \"0.21.2\"", "not read yet"}}),
    [](const testing::TestParamInfo<Refusal>& parameter) { return parameter.param.name; });

TEST(AdapterConfigFile, IsStrictJson) {
  AdapterFolder folder("LORA", "", {"q_proj"});
  folder.write();
  std::ofstream(folder.path() + "/adapter_config.json") << R"({"r": 4, "r": 8, "lora_alpha": 8, "target_modules": []})";
  expect_refusal([&] { read_adapter_config(folder.path()); }, MOX_INVALID_FILE, {"adapter_config.json", "\"r\""});
  std::filesystem::remove(folder.path() + "/adapter_config.json");
  expect_refusal([&] { read_adapter_config(folder.path()); }, MOX_NOT_FOUND, {"adapter_config.json"});
  expect_refusal([&] { read_adapter_config(folder.path() + "/none"); }, MOX_NOT_FOUND, {"none"});
}

TEST(AdapterConfigFormat, PeftAndMistralAreRefusedAsSuch) {
  EXPECT_EQ(adapter::adapter_format(parity_adapter("peft-llama-lora-qv")), "PEFT");
  expect_refusal([] { read_adapter_config(parity_adapter("peft-llama-lora-qv")); }, MOX_UNSUPPORTED,
                 {"PEFT", "not read yet"});
  EXPECT_EQ(adapter::adapter_format(parity_adapter("h48-lora-r8")), "MoE-PEFT");

  // Older PEFT left no version, but fields of its own.
  AdapterFolder old("LORA", "", {"q_proj"});
  old.config["init_lora_weights"] = true;
  expect_refusal([&] { read_adapter_config(old.write()); }, MOX_UNSUPPORTED, {"init_lora_weights", "not read yet"});

  AdapterFolder mistral("LORA", "", {"q_proj"});
  std::ofstream(mistral.path() + "/lora.safetensors") << "x";
  EXPECT_EQ(adapter::adapter_format(mistral.path()), "mistral");
  expect_refusal([&] { read_adapter_config(mistral.path()); }, MOX_UNSUPPORTED, {"lora.safetensors", "not read yet"});
}

}  // namespace
}  // namespace moxie::test
