// moxie generate against the continuations the reference implementations wrote.
#include <gmock/gmock.h>

#include "program.h"
#include "reference_figures.h"

#if MOXIE_HAVE_SENTENCEPIECE

namespace moxie::test {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;
using testing::StartsWith;

// Below this margin between the two likeliest tokens another correct float32 implementation may part.
constexpr double kNearTie = 1e-3;

struct Expected {
  std::string adapter;  // "": the base
  nlohmann::json figures;
};

std::vector<Expected> continuations(const std::string& model, const std::string& adapter) {
  std::vector<Expected> all;
  for (const auto& [text, list] : reference_figures().at(model)["greedy"].items()) {
    for (const auto& figures : list) all.push_back({adapter, figures});
  }
  return all;
}

void expect_continuations(std::vector<std::string> arguments, const std::vector<Expected>& expected) {
  arguments.insert(arguments.begin(), "generate");
  arguments.insert(arguments.end(), {"--json", "--max-tokens", "48"});
  for (const auto& one : expected) {
    const auto name = one.adapter.empty() ? "base" : one.adapter;
    arguments.insert(arguments.end(), {"--prompt", name + ":" + one.figures["prompt"].get<std::string>()});
  }
  const auto finished = run_program(arguments);
  ASSERT_EQ(finished.status, 0) << finished.errors;
  const auto results = finished.json();
  ASSERT_EQ(results.size(), expected.size());
  for (size_t i = 0; i < expected.size(); ++i) {
    const auto& figures = expected[i].figures;
    const auto& result = results[i];
    const auto where = expected[i].adapter + ": " + figures["prompt"].get<std::string>();
    EXPECT_EQ(result["prompt_tokens"], figures["prompt_ids"]) << where;
    const bool tie = figures["smallest_margin"].get<double>() < kNearTie;
    const size_t count = tie ? figures["smallest_margin_step"].get<size_t>() : 48;
    ASSERT_EQ(result["tokens"].size(), 48u) << where;
    for (size_t step = 0; step < count; ++step) {
      ASSERT_EQ(result["tokens"][step], figures["ids"][step]) << where << ", token " << step;
    }
    if (!tie) {
      EXPECT_EQ(result["text"], figures["text"]) << where;
    }
  }
}

TEST(Generate, AllAdaptersInOneBatchContinueAsTheReference) {
  auto expected = continuations("tiny-llama", "");
  for (const auto& adapter : llama_adapters()) {
    for (auto& one : continuations(adapter, adapter)) expected.push_back(std::move(one));
  }
  ASSERT_EQ(expected.size(), 12 * (llama_adapters().size() + 1));
  expect_continuations(llama_with_all_adapters(), expected);
}

TEST(Generate, MixtralContinuesAsTheReference) {
  expect_continuations({"--model", bundled("tiny-mixtral"), "--weights", "float32"}, continuations("tiny-mixtral", ""));
}

std::vector<std::string> with_bible(std::vector<std::string> more) {
  std::vector<std::string> arguments{
      "generate",     "--model", bundled("tiny-llama"), "--adapter", "bible=" + bundled("kjv-mixlora"),
      "--max-tokens", "6"};
  arguments.insert(arguments.end(), more.begin(), more.end());
  return arguments;
}

TEST(Generate, APromptNamesItsAdapterOrMayHoldAColon) {
  const auto finished =
      run_program(with_bible({"--json", "--prompt", "bible:In the", "--prompt", "base:In the", "--prompt",
                              "verily: I say", "--prompt", "[In, the]", "base:bible:In", "last"}));
  ASSERT_EQ(finished.status, 0) << finished.errors;
  const auto json = finished.json();
  ASSERT_EQ(json.size(), 6u);
  EXPECT_EQ(json[0]["adapter"], "bible");
  EXPECT_EQ(json[0]["prompt"], "In the");
  EXPECT_TRUE(json[1]["adapter"].is_null());
  EXPECT_EQ(json[1]["prompt"], "In the");
  EXPECT_TRUE(json[2]["adapter"].is_null());
  EXPECT_EQ(json[2]["prompt"], "verily: I say");
  EXPECT_EQ(json[3]["prompt"], "[In, the]");
  EXPECT_TRUE(json[4]["adapter"].is_null());
  EXPECT_EQ(json[4]["prompt"], "bible:In");
  EXPECT_EQ(json[5]["prompt"], "last");
  for (const auto& result : json) {
    EXPECT_EQ(result["prompt_tokens"][0], 1);
    EXPECT_EQ(result["tokens"].size(), 6u);
    EXPECT_EQ(result["finish"], "max tokens");
    EXPECT_THAT(result["text"].get<std::string>(), StartsWith(result["prompt"].get<std::string>()));
  }
}

TEST(Generate, OnePromptIsWrittenPlain) {
  const auto text = run_program(with_bible({"--json", "--prompt", "In the"})).json()[0]["text"].get<std::string>();
  const auto finished = run_program(with_bible({"--prompt", "In the"}));
  EXPECT_EQ(finished.output, text + "\n");
  EXPECT_THAT(finished.errors, HasSubstr("prefill: "));
  EXPECT_THAT(finished.errors, HasSubstr("decode: 5 tokens, "));
}

TEST(Generate, SeveralPromptsAreWrittenInBlocks) {
  const auto finished = run_program(with_bible({"--prompt", "bible:In the", "--prompt", "In the"}));
  EXPECT_THAT(finished.output, StartsWith("[1] bible\nIn the"));
  EXPECT_THAT(finished.output, HasSubstr("\n\n[2] base\nIn the"));
}

TEST(Generate, ASeedGivesTheSameTextAgainAndAnotherSeedAnother) {
  const auto with_seed = [](const std::string& seed) {
    return run_program(with_bible({"--json", "--temperature", "1.5", "--top-p", "0.95", "--top-k", "500", "--seed",
                                   seed, "--prompt", "In the"}))
        .json()[0]["tokens"];
  };
  EXPECT_EQ(with_seed("7"), with_seed("7"));
  EXPECT_NE(with_seed("7"), with_seed("8"));
}

TEST(Generate, StopsAtTheLastPosition) {
  const auto finished = run_program(
      {"generate", "--model", bundled("tiny-llama"), "--json", "--max-tokens", "600", "--prompt", "In the"});
  ASSERT_EQ(finished.status, 0) << finished.errors;
  const auto result = finished.json()[0];
  EXPECT_EQ(result["finish"], "max positions");
  EXPECT_EQ(result["prompt_tokens"].size() + result["tokens"].size(), 513u);
}

TEST(Generate, APromptBeyondTheLastPositionIsRefused) {
  std::string prompt;
  for (int i = 0; i < 600; ++i) prompt += " whale";
  const auto finished = run_program({"generate", "--model", bundled("tiny-llama"), "--prompt", prompt});
  EXPECT_EQ(finished.status, 1);
  EXPECT_THAT(finished.errors, HasSubstr("512 positions"));
  EXPECT_THAT(finished.output, IsEmpty());
}

}  // namespace
}  // namespace moxie::test

#endif
