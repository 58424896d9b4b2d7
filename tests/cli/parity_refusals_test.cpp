// moxie parity must tell a pass, a failure and a case that was not run apart.
#include <gmock/gmock.h>

#include <algorithm>

#include "parity_copy.h"

namespace moxie::test {
namespace {

using testing::HasSubstr;

// One small case of each kind; the kind `model` has two conventions.
constexpr const char* kFeedForward = "ff-mixlora-partial-float32";
constexpr const char* kMoeLayer = "mistral-moe-k4";
constexpr const char* kBlock = "mistral-block-moe";
constexpr const char* kModel = "mixtral";
constexpr const char* kModelWithLabels = "model-mixlora-alone-float32";
constexpr const char* kRouterLoss = "rl-mixlora-top2";

class OneKind : public testing::TestWithParam<const char*> {};

TEST_P(OneKind, AnUntouchedCopyPasses) {
  const auto finished = ParityCopy(GetParam()).run();
  EXPECT_EQ(finished.status, 0) << finished.output << finished.errors;
  EXPECT_THAT(finished.output, HasSubstr("1 passed, 0 failed, 0 not run"));
}

TEST_P(OneKind, EveryOutputThatIsDisturbedFails) {
  const auto outputs = ParityCopy(GetParam()).meta["outputs"];
  ASSERT_FALSE(outputs.empty());
  for (const auto& [output, limits] : outputs.items()) {
    ParityCopy copy(GetParam());
    copy.disturb(output);
    const auto finished = copy.run({"--json"});
    EXPECT_EQ(finished.status, 1) << output << finished.output;
    const auto outcomes = finished.json();
    ASSERT_EQ(outcomes[0]["outputs"].size(), outputs.size());
    for (const auto& compared : outcomes[0]["outputs"]) {
      EXPECT_EQ(compared["pass"], compared["name"] != output);
    }
  }
}

TEST_P(OneKind, AnUnknownOptionIsNotRun) {
  ParityCopy copy(GetParam());
  copy.meta["options"]["surprise"] = 1;
  const auto finished = copy.run();
  EXPECT_EQ(finished.status, 2);
  EXPECT_THAT(finished.output, HasSubstr("'surprise'"));
}

TEST_P(OneKind, AnUnknownOutputIsNotRun) {
  ParityCopy copy(GetParam());
  const auto output = copy.meta["outputs"].begin().key();
  copy.rename(output, "surprise.0");
  copy.meta["outputs"]["surprise.0"] = copy.meta["outputs"][output];
  copy.meta["outputs"].erase(output);
  const auto finished = copy.run();
  EXPECT_EQ(finished.status, 2) << finished.output;
  EXPECT_THAT(finished.output, HasSubstr("'surprise.0'"));
}

INSTANTIATE_TEST_SUITE_P(Kinds, OneKind,
                         testing::Values(kFeedForward, kMoeLayer, kBlock, kModel, kModelWithLabels, kRouterLoss));

TEST(ParityRefusals, AnOutputThatIsNotInTheFileIsNotRun) {
  ParityCopy copy(kFeedForward);
  copy.meta["outputs"]["hidden_states.2"] = copy.meta["outputs"]["hidden_states"];
  EXPECT_EQ(copy.run().status, 2);
}

TEST(ParityRefusals, ATensorNobodyListsIsNotRun) {
  ParityCopy copy(kFeedForward);
  copy.meta["outputs"].erase("hidden_states");
  const auto finished = copy.run();
  EXPECT_EQ(finished.status, 2);
  EXPECT_THAT(finished.output, HasSubstr("'hidden_states'"));
}

TEST(ParityRefusals, AnUnknownKindFieldFormatOrLimitIsNotRun) {
  ParityCopy kind(kFeedForward);
  kind.meta["kind"] = "dream";
  const auto finished = kind.run();
  EXPECT_EQ(finished.status, 2);
  EXPECT_THAT(finished.output, HasSubstr("'dream'"));
  ParityCopy field(kFeedForward);
  field.meta["surprise"] = true;
  EXPECT_EQ(field.run().status, 2);
  ParityCopy format(kFeedForward);
  format.meta["format"] = 2;
  EXPECT_EQ(format.run().status, 2);
  ParityCopy limit(kFeedForward);
  limit.meta["outputs"]["hidden_states"]["limit"] = {{"cosine", 1}};
  EXPECT_EQ(limit.run().status, 2);
}

TEST(ParityRefusals, ABatchThatLeavesASequenceOutIsNotRun) {
  ParityCopy copy(kFeedForward);
  copy.meta["batch"].erase(copy.meta["batch"].size() - 1);
  EXPECT_EQ(copy.run().status, 2);
}

TEST(ParityRanges, MayComeInAnyOrder) {
  for (const char* name : {kFeedForward, "model-four-left-float32"}) {
    ParityCopy copy(name);
    const auto ranges = static_cast<int>(copy.meta["batch"].size());
    ASSERT_GT(ranges, 2);
    std::reverse(copy.meta["batch"].begin(), copy.meta["batch"].end());
    const auto outputs = copy.meta["outputs"];
    for (const auto& [output, limits] : outputs.items()) copy.rename(output, "moving." + output);
    copy.meta["outputs"] = nlohmann::json::object();
    for (const auto& [output, limits] : outputs.items()) {
      const auto dot = output.find('.');
      const auto moved = dot == std::string::npos ? output
                                                  : output.substr(0, dot + 1) +
                                                        std::to_string(ranges - 1 - std::stoi(output.substr(dot + 1)));
      copy.rename("moving." + output, moved);
      copy.meta["outputs"][moved] = limits;
    }
    const auto finished = copy.run();
    EXPECT_EQ(finished.status, 0) << finished.output;
  }
}

TEST(ParityRefusals, NoCaseThereIsNotRun) {
  const auto finished = run_program({"parity", "/no/such/case"});
  EXPECT_EQ(finished.status, 2);
  EXPECT_THAT(finished.output, HasSubstr("/no/such/case"));
}

TEST(ParityRefusals, WhatTheLibraryCannotDoIsNotRunAndSaysSo) {
  for (const auto& entry :
       std::filesystem::directory_iterator(std::string(MOXIE_TEST_DATA) + "/parity/unsupported_cases")) {
    const auto finished = run_program({"parity", entry.path().string()});
    EXPECT_EQ(finished.status, 2) << finished.output << finished.errors;
    EXPECT_THAT(finished.output, HasSubstr("not supported yet: ")) << entry.path();
  }
}

TEST(ParityRefusals, AFailureOutweighsACaseThatWasNotRun) {
  ParityCopy failing(kFeedForward);
  failing.disturb("hidden_states");
  EXPECT_EQ(failing.run({"/no/such/case", parity_case(kFeedForward)}).status, 1);
  EXPECT_EQ(run_program({"parity", parity_case(kFeedForward), "/no/such/case"}).status, 2);
}

}  // namespace
}  // namespace moxie::test
