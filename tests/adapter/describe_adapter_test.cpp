// What an adapter folder is said to be, and what opening it would refuse, without a base.
#include "adapter/describe_adapter.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "adapter_folders.h"
#include "checkpoint/adapter_tensors.h"

namespace moxie::test {
namespace {

using adapter::AdapterDescription;
using testing::AllOf;
using testing::Contains;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Pair;
using testing::SizeIs;

AdapterDescription describe(const std::string& folder) {
  const auto tensors = checkpoint::open_adapter_tensors(folder);
  return adapter::describe_adapter(folder, tensors.get());
}

TEST(DescribeAdapter, FindsNothingWrongWithTheParityAdapters) {
  int described = 0;
  for (const auto& entry : std::filesystem::directory_iterator(std::string(MOXIE_TEST_DATA) + "/parity/adapters")) {
    if (!std::filesystem::exists(entry.path() / "adapter_model.bin")) continue;
    const AdapterDescription description = describe(entry.path().string());
    EXPECT_EQ(description.format, "MoE-PEFT") << entry.path();
    EXPECT_THAT(description.problems, IsEmpty()) << entry.path();
    ++described;
  }
  EXPECT_GE(described, 50);
}

TEST(DescribeAdapter, ShowsSettings) {
  const AdapterDescription description = describe(parity_adapter("h48-mixlora-expert-rslora"));
  EXPECT_EQ(description.kind, "mixlora");
  EXPECT_THAT(description.settings, Contains(Pair("rank", "8")));
  EXPECT_THAT(description.settings, Contains(Pair("alpha", "16")));
  EXPECT_THAT(description.settings, Contains(Pair("scaling", "2")));
  EXPECT_THAT(description.settings, Contains(Pair("targets", "down_proj, gate_proj, q_proj, up_proj")));
  EXPECT_THAT(description.settings, Contains(Pair("experts", "4")));
  EXPECT_THAT(description.settings, Contains(Pair("top-k", "2")));
  EXPECT_THAT(description.settings, Contains(Pair("expert rank", "5")));
  EXPECT_THAT(description.settings, Contains(Pair("expert rslora", "yes")));
  EXPECT_THAT(description.settings, Contains(Pair("layers", "2")));
  EXPECT_THAT(describe(parity_adapter("h48-dynamic-p50-t15")).settings,
              AllOf(Contains(Pair("top-p", "0.5")), Contains(Pair("temperature", "1.5"))));
  EXPECT_THAT(describe(parity_adapter("h48-switch-c2")).settings, Contains(Pair("capacity", "2")));
}

TEST(DescribeAdapter, ReportsPeftAndMistralAsNotRead) {
  const AdapterDescription peft = describe(parity_adapter("peft-llama-lora-qv"));
  EXPECT_EQ(peft.format, "PEFT");
  EXPECT_EQ(peft.kind, "lora");
  EXPECT_THAT(peft.settings, Contains(Pair("rank", testing::_)));
  ASSERT_THAT(peft.problems, SizeIs(1));
  EXPECT_THAT(peft.problems[0], HasSubstr("not read yet"));

  const AdapterFolder folder("LORA", "", {"q_proj"});
  std::ofstream(folder.path() + "/lora.safetensors") << "x";
  std::ofstream(folder.path() + "/params.json") << R"({"lora": {"rank": 4, "scaling": 0.8}})";
  const AdapterDescription mistral = adapter::describe_adapter(folder.path(), nullptr);
  EXPECT_EQ(mistral.format, "mistral");
  EXPECT_THAT(mistral.settings, AllOf(Contains(Pair("rank", "4")), Contains(Pair("scaling", "0.8"))));
  ASSERT_THAT(mistral.problems, SizeIs(1));
  EXPECT_THAT(mistral.problems[0], HasSubstr("not read yet"));
}

TEST(DescribeAdapter, ListsEveryProblemOfTheConfiguration) {
  AdapterFolder folder("MIXLORA", "mixlora", {"q_proj"});
  folder.config.update({{"lora_alpha", -1}, {"act_fn", "tanh"}, {"top_k", 9}, {"surprise", 1}, {"bias", "all"}});
  const std::vector<std::string> problems = describe(folder.write()).problems;
  EXPECT_THAT(problems, SizeIs(5));
  for (const char* part :
       {"lora_alpha is -1", "act_fn is \"tanh\"", "top_k is 9", "surprise is 1", "bias is \"all\""}) {
    EXPECT_THAT(problems, Contains(HasSubstr(part)));
  }
}

TEST(DescribeAdapter, ListsProblemsOfTensors) {
  AdapterFolder folder("MIXLORA", "mixlora", {"q_proj", "gate_proj"});
  folder.tensors.erase("mixlora.layers.0.self_attn.q_proj.lora_B.weight");
  folder.tensors.erase("mixlora.layers.1.mlp.moe_gate.weight");
  folder.add("mixlora.layers.0.mlp.gate_proj.experts.1.lora_A.weight", {5, 8});
  folder.add("mixlora.layers.0.mlp.gate_proj.experts.7.lora_A.weight", {2, 8});
  folder.add("stranger", {1});
  const std::vector<std::string> problems = describe(folder.write()).problems;
  EXPECT_THAT(problems, SizeIs(5));
  EXPECT_THAT(problems, Contains(HasSubstr("layers.0.self_attn.q_proj.lora_A.weight\" stands without")));
  EXPECT_THAT(problems, Contains(AllOf(HasSubstr("layers.1.mlp.moe_gate.weight"), HasSubstr("missing"))));
  EXPECT_THAT(problems, Contains(AllOf(HasSubstr("experts.1.lora_A.weight"), HasSubstr("[5, 8]"))));
  EXPECT_THAT(problems, Contains(HasSubstr("no use for tensor \"mixlora.layers.0.mlp.gate_proj.experts.7.")));
  EXPECT_THAT(problems, Contains(HasSubstr("no use for tensor \"stranger\"")));
}

TEST(DescribeAdapter, ReportsLinearsMissingInALayer) {
  AdapterFolder folder("LORA", "", {"up_proj", "q_proj"});
  folder.tensors.erase("base_model.model.model.layers.1.mlp.up_proj.lora_A.weight");
  folder.tensors.erase("base_model.model.model.layers.1.mlp.up_proj.lora_B.weight");
  EXPECT_THAT(describe(folder.write()).problems,
              Contains(AllOf(HasSubstr("layers.1.mlp.up_proj"), HasSubstr("missing"))));
}

TEST(DescribeAdapter, ReportsTargetsWithoutTensors) {
  AdapterFolder folder("LORA", "", {"up_proj", "q_proj"});
  folder.config["target_modules"] = {"up_proj", "q_proj", "v_proj", "fc1"};  // no Llama has fc1: ignored
  const std::vector<std::string> problems = describe(folder.write()).problems;
  ASSERT_THAT(problems, SizeIs(1));
  EXPECT_THAT(problems[0], HasSubstr("no tensors for \"v_proj\""));
}

TEST(DescribeAdapter, NeverThrowsForBadContents) {
  const AdapterFolder folder("LORA", "", {"q_proj"});
  EXPECT_THAT(adapter::describe_adapter(folder.path(), nullptr).problems, Not(IsEmpty()));
  for (const char* text : {"", "[]", "{", "{}", R"({"r": {"deep": []}, "peft_type": [1]})", "\xff\xfe"}) {
    std::ofstream(folder.path() + "/adapter_config.json") << text;
    EXPECT_THAT(adapter::describe_adapter(folder.path(), nullptr).problems, Not(IsEmpty())) << text;
  }
}

TEST(DescribeAdapter, CutsALongListOfProblems) {
  AdapterFolder folder("LORA", "", {"q_proj"});
  for (int index = 0; index < 200; ++index) folder.add("stranger." + std::to_string(index), {1});
  const std::vector<std::string> problems = describe(folder.write()).problems;
  EXPECT_THAT(problems, SizeIs(51));
  EXPECT_THAT(problems.back(), HasSubstr("150 more"));
}

}  // namespace
}  // namespace moxie::test
