// moxie perplexity against the figures the reference implementations measured.
#include <gmock/gmock.h>

#include <cmath>
#include <map>
#include <set>

#include "program.h"
#include "reference_figures.h"

namespace moxie::test {
namespace {

using testing::HasSubstr;

// Half a percent is twenty times what bfloat16 arithmetic costs; float32 agrees to four digits.
constexpr double kStoredWeights = 5e-3;
constexpr double kFloat32Weights = 1e-4;

std::vector<std::string> on_texts(std::vector<std::string> arguments) {
  arguments.insert(arguments.begin(), "perplexity");
  arguments.insert(arguments.end(), {"--json", "--windows"});
  for (const auto& text : heldout_texts()) arguments.push_back(bundled("heldout/" + text + ".safetensors"));
  return arguments;
}

// Every figure of the table is there once and within `tolerance` of the reference's.
void expect_reference(const Finished& finished, const std::string& base, size_t adapters, double tolerance) {
  ASSERT_EQ(finished.status, 0) << finished.errors;
  std::set<std::pair<std::string, std::string>> seen;
  for (const auto& figure : finished.json()) {
    const auto model = figure["adapter"].is_null() ? base : figure["adapter"].get<std::string>();
    const auto text = figure["text"].get<std::string>();
    const double expected = reference_figures().at(model)["heldout"][text]["perplexity"];
    EXPECT_NEAR(figure["perplexity"].get<double>(), expected, expected * tolerance) << model << " on " << text;
    seen.emplace(model, text);
  }
  EXPECT_EQ(seen.size(), (adapters + 1) * heldout_texts().size());
}

TEST(Perplexity, AllAdaptersInOneBatchAgreeWithTheReference) {
  expect_reference(run_program(on_texts(llama_with_all_adapters())), "tiny-llama", llama_adapters().size(),
                   kFloat32Weights);
}

TEST(Perplexity, StoredWeightsOfMixtralAgreeWithTheReference) {
  expect_reference(run_program(on_texts({"--model", bundled("tiny-mixtral")})), "tiny-mixtral", 0, kStoredWeights);
}

#if !MOXIE_SANITIZED
TEST(Perplexity, StoredWeightsUnderAllAdaptersAgreeWithTheReference) {
  auto arguments = llama_with_all_adapters();
  arguments.insert(arguments.end(), {"--weights", "stored"});
  arguments.erase(arguments.begin() + 2, arguments.begin() + 4);
  expect_reference(run_program(on_texts(arguments)), "tiny-llama", llama_adapters().size(), kStoredWeights);
}
#endif

TEST(Perplexity, KeysAndValuesInBfloat16AgreeWithTheReference) {
  for (const std::string base : {"tiny-llama", "tiny-mixtral"}) {
    const std::vector<std::string> arguments{"--model", bundled(base), "--weights", "float32", "--kv", "bf16"};
    expect_reference(run_program(on_texts(arguments)), base, 0, kStoredWeights);
  }
}

TEST(Perplexity, KeysAndValuesInBfloat16AreRounded) {
  const auto figures = [](const std::string& base, const std::string& kv) {
    const auto finished = run_program({"perplexity", "--model", bundled(base), "--weights", "float32", "--json",
                                       "--limit", "1", "--windows", bundled("heldout/moby.safetensors"), "--kv", kv});
    EXPECT_EQ(finished.status, 0) << finished.errors;
    return finished.json();
  };
  for (const std::string base : {"tiny-llama", "tiny-mixtral"}) {
    EXPECT_NE(figures(base, "bf16"), figures(base, "f32")) << base;
  }
}

TEST(Perplexity, KeysAndValuesHaveTwoElementTypes) {
  const auto finished = run_program(on_texts({"--model", bundled("tiny-llama"), "--kv", "f16"}));
  EXPECT_NE(finished.status, 0);
  EXPECT_THAT(finished.errors, HasSubstr("--kv"));
}

TEST(Perplexity, CompactWeightsGiveTheFiguresOfPlainOnes) {
  const auto figures = [](const std::string& storage) {
    const auto finished =
        run_program({"perplexity", "--model", bundled("tiny-llama"), "--weights", "bfloat16", "--json", "--limit", "3",
                     "--windows", bundled("heldout/moby.safetensors"), "--storage", storage});
    EXPECT_EQ(finished.status, 0) << finished.errors;
    return finished.json();
  };
  const auto plain = figures("plain");
  EXPECT_EQ(figures("compact"), plain);
  EXPECT_EQ(figures("auto"), plain);
}

TEST(Perplexity, AnAdaptersFiguresDoNotDependOnTheOthersInTheBatch) {
  const auto perplexities = [](std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), "perplexity");
    arguments.insert(arguments.end(), {"--json", "--limit", "3", "--windows", bundled("heldout/moby.safetensors")});
    std::map<std::string, double> figures;
    for (const auto& figure : run_program(arguments).json()) figures[figure["adapter"].dump()] = figure["perplexity"];
    return figures;
  };
  const auto together = perplexities(llama_with_all_adapters());
  ASSERT_EQ(together.size(), llama_adapters().size() + 1);
  for (const auto& adapter : llama_adapters()) {
    const auto alone = perplexities(
        {"--model", bundled("tiny-llama"), "--weights", "float32", "--adapter", adapter + "=" + bundled(adapter)});
    EXPECT_EQ(alone.at("\"" + adapter + "\""), together.at("\"" + adapter + "\"")) << adapter;
    EXPECT_EQ(alone.at("null"), together.at("null"));
  }
}

TEST(Perplexity, LimitTakesTheFirstWindows) {
  const auto finished = run_program({"perplexity", "--model", bundled("tiny-llama"), "--json", "--limit", "2",
                                     "--windows", bundled("heldout/kjv.safetensors")});
  ASSERT_EQ(finished.status, 0) << finished.errors;
  EXPECT_EQ(finished.json()[0]["windows"], 2);
}

TEST(Perplexity, TableHasTheBaseFirst) {
  const auto finished =
      run_program({"perplexity", "--model", bundled("tiny-llama"), "--adapter", "bible=" + bundled("kjv-mixlora"),
                   "--limit", "1", "--windows", bundled("heldout/kjv.safetensors")});
  ASSERT_EQ(finished.status, 0) << finished.errors;
  EXPECT_THAT(finished.output, testing::MatchesRegex("perplexity +kjv\nbase +[0-9.]+\nbible +[0-9.]+\n"));
  EXPECT_THAT(finished.errors, testing::IsEmpty());
}

#if MOXIE_HAVE_SENTENCEPIECE
TEST(Perplexity, ATextIsCutIntoTheSameWindows) {
  const auto of = [](const std::string& option, const std::string& file) {
    return run_program(
               {"perplexity", "--model", bundled("tiny-llama"), "--json", "--limit", "4", option, bundled(file)})
        .json()[0];
  };
  const auto text = of("--text", "heldout/sotu.txt");
  EXPECT_EQ(text, of("--windows", "heldout/sotu.safetensors"));
  EXPECT_EQ(text["windows"], 4);
}

TEST(Perplexity, ATextTooShortForAWindowIsRefused) {
  const TemporaryFolder folder;
  write_file(folder / "short.txt", "too short");
  const auto finished =
      run_program({"perplexity", "--model", bundled("tiny-llama"), "--text", (folder / "short.txt").string()});
  EXPECT_EQ(finished.status, 1);
  EXPECT_THAT(finished.errors, HasSubstr("255"));
}
#endif

}  // namespace
}  // namespace moxie::test
