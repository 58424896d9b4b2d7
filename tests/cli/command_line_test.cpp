// Command lines: help, versions, and what is said to those that make no sense.
#include <gmock/gmock.h>

#include "moxie/moxie.h"
#include "program.h"

namespace moxie::test {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

const std::vector<std::vector<std::string>> kCommands{{"generate"},
                                                      {"perplexity"},
                                                      {"routes"},
                                                      {"info"},
                                                      {"parity"},
                                                      {"bench", "ffn"},
                                                      {"bench", "adapters"},
                                                      {"bench", "model"},
                                                      {"bench", "compare"},
                                                      {"bench", "machine"},
                                                      {"kernels"}};

TEST(CommandLine, HelpOfEveryCommandHasExamples) {
  auto commands = kCommands;
  commands.emplace_back();
  commands.push_back({"bench"});
  for (auto command : commands) {
    command.emplace_back("--help");
    const auto finished = run_program(command);
    EXPECT_EQ(finished.status, 0) << testing::PrintToString(command);
    EXPECT_THAT(finished.output, HasSubstr("Examples:")) << testing::PrintToString(command);
    EXPECT_THAT(finished.errors, IsEmpty()) << testing::PrintToString(command);
  }
}

TEST(CommandLine, EveryCommandChoosesItsMachine) {
  for (const auto& command : kCommands) {
    auto arguments = command;
    arguments.emplace_back("--help");
    const auto help = run_program(arguments).output;
    for (const char* option : {"--isa", "--backend", "--threads", "--affinity", "--cpus", "--verbose", "--json"}) {
      EXPECT_THAT(help, HasSubstr(option)) << testing::PrintToString(command);
    }
  }
}

TEST(CommandLine, VersionIsTheLibrarys) {
  const auto finished = run_program({"--version"});
  EXPECT_EQ(finished.status, 0);
  EXPECT_EQ(finished.output, std::string("moxie ") + mox_version() + "\n");
}

struct Broken {
  std::vector<std::string> arguments;
  const char* said;
};

class BrokenCommandLine : public testing::TestWithParam<Broken> {};

TEST_P(BrokenCommandLine, IsAUsageError) {
  const auto finished = run_program(GetParam().arguments);
  EXPECT_EQ(finished.status, 2) << finished.output << finished.errors;
  EXPECT_THAT(finished.errors, HasSubstr(GetParam().said));
  EXPECT_THAT(finished.errors, HasSubstr("--help'"));
  EXPECT_THAT(finished.output, IsEmpty());
}

const std::string kLlama = bundled("tiny-llama");
const std::string kMixlora = bundled("kjv-mixlora");
const std::string kKjv = bundled("heldout/kjv.safetensors");

INSTANTIATE_TEST_SUITE_P(
    All, BrokenCommandLine,
    testing::Values(
        Broken{{}, "subcommand"}, Broken{{"sing"}, "sing"}, Broken{{"kernels", "--loud"}, "--loud"},
        Broken{{"kernels", "--isa", "sse9"}, "sse9"}, Broken{{"kernels", "--backend", "gpu"}, "gpu"},
        Broken{{"kernels", "--threads", "0"}, "--threads"}, Broken{{"kernels", "--threads", "two"}, "--threads"},
        Broken{{"kernels", "--affinity", "none at all"}, "--affinity"}, Broken{{"parity"}, "CASE_DIR"},
        Broken{{"info"}, "PATH"}, Broken{{"bench"}, "subcommand"}, Broken{{"bench", "moe"}, "moe"},
        Broken{{"generate", "--model", kLlama, "--prompt", "x", "--loud"}, "--loud"},
        Broken{{"generate", "--prompt", "x"}, "--model"}, Broken{{"perplexity", "--model", kLlama}, "--text"},
        Broken{{"perplexity", "--model", kLlama, "--windows", "/nowhere.safetensors"}, "/nowhere.safetensors"},
        Broken{{"perplexity", "--model", kLlama, "--windows", kKjv, "--limit", "0"}, "--limit"},
        Broken{{"perplexity", "--model", kLlama, "--windows", kKjv, "--adapter", "kjv"}, "NAME=DIR"},
        Broken{{"perplexity", "--model", kLlama, "--windows", kKjv, "--adapter", "=" + kMixlora}, "NAME=DIR"},
        Broken{{"perplexity", "--model", kLlama, "--windows", kKjv, "--adapter", "base=" + kMixlora}, "base"},
        Broken{{"perplexity", "--model", kLlama, "--windows", kKjv, "--adapter", "a:b=" + kMixlora}, "colon"},
        Broken{{"perplexity", "--model", kLlama, "--windows", kKjv, "--adapter", "a=" + kMixlora, "--adapter",
                "a=" + kMixlora},
               "twice"},
        Broken{{"perplexity", "--model", kLlama, "--windows", kKjv, "--weights", "int8"}, "int8"},
        Broken{{"perplexity", "--model", kLlama, "--windows", kKjv, "--storage", "dense"}, "dense"},
        Broken{{"routes", "--model", kLlama}, "--text"},
        Broken{{"routes", "--model", kLlama, "--windows", kKjv, kKjv}, "one --windows"},
        Broken{{"bench", "ffn", "--top-k", "3", "--experts", "2"}, "--top-k 3 of 2"},
        Broken{{"bench", "ffn", "--tokens", "1,none"}, "--tokens"}, Broken{{"bench", "ffn", "--versus", "gpu"}, "gpu"},
        Broken{{"bench", "ffn", "--preset", "gpt-9"}, "gpt-9"}, Broken{{"bench", "ffn", "--seconds", "0"}, "--seconds"},
        Broken{{"bench", "compare", "--contenders", "native,gpu"}, "gpu"},
        Broken{{"bench", "compare", "--contenders", "native:sse9"}, "sse9"},
        Broken{{"bench", "compare", "--contenders", "native:"}, "instruction set"},
        Broken{{"bench", "compare", "--contenders", "native"}, "two"},
        Broken{{"bench", "compare", "--contenders", "native,native"}, "twice"},
        Broken{{"bench", "adapters", "--preset", "tiny-mixtral"}, "dense"},
        Broken{{"bench", "adapters", "--adapter-top-k", "9"}, "--adapter-top-k 9 of 8"},
        Broken{{"bench", "adapters", "--kinds", "ia3"}, "ia3"},
        Broken{{"bench", "adapters", "--counts", "-1"}, "--counts"}, Broken{{"bench", "model"}, "DIR"},
        Broken{{"bench", "model", kLlama, "--batch", "0"}, "--batch"},
        Broken{{"bench", "model", kLlama, "--adapter", "a:b=" + kMixlora}, "colon"},
        Broken{{"bench", "machine", "--mebibytes", "0"}, "--mebibytes"}));

#if MOXIE_HAVE_SENTENCEPIECE
TEST(CommandLine, GenerateWantsAPrompt) {
  const auto finished = run_program({"generate", "--model", kLlama});
  EXPECT_EQ(finished.status, 2);
  EXPECT_THAT(finished.errors, HasSubstr("--prompt"));
}
#else
TEST(CommandLine, WithoutTokenizersTextIsRefusedAndTheWayOutNamed) {
  const auto finished = run_program({"generate", "--model", kLlama, "--prompt", "x"});
  EXPECT_EQ(finished.status, 1);
  EXPECT_THAT(finished.errors, HasSubstr("libsentencepiece-dev"));
}
#endif

TEST(CommandLine, AMissingModelIsAFailureThatNamesIt) {
  const auto finished = run_program({"perplexity", "--model", "/no/such/model", "--windows", kKjv});
  EXPECT_EQ(finished.status, 1);
  EXPECT_THAT(finished.errors, HasSubstr("/no/such/model"));
  EXPECT_THAT(finished.output, IsEmpty());
}

TEST(CommandLine, AnAdapterOfAnotherModelIsAFailure) {
  const auto finished = run_program(
      {"perplexity", "--model", bundled("tiny-mixtral"), "--windows", kKjv, "--adapter", "kjv=" + kMixlora});
  EXPECT_EQ(finished.status, 1);
  EXPECT_THAT(finished.errors, Not(IsEmpty()));
  EXPECT_THAT(finished.output, IsEmpty());
}

TEST(Kernels, JsonNamesTheMachineAndTheTable) {
  const auto finished = run_program({"kernels", "--json", "--threads", "2"});
  ASSERT_EQ(finished.status, 0) << finished.errors;
  const auto json = finished.json();
  EXPECT_EQ(json["threads"], 2);
  EXPECT_EQ(json["machine_isas"].front(), "portable");
  EXPECT_EQ(json["machine_isas"].back(), json["machine_isa"]);
  EXPECT_THAT(json["backends"].dump(), HasSubstr("native"));
  EXPECT_THAT(json["backends"].dump(), HasSubstr("reference"));
  bool any_usable = false;
  for (const auto& kernel : json["kernels"]) {
    EXPECT_EQ(kernel["usable"].get<bool>(), kernel["skipped_because"].get<std::string>().empty()) << kernel;
    any_usable |= kernel["usable"].get<bool>();
  }
  EXPECT_TRUE(any_usable);
}

TEST(Kernels, SayWhereThreadsRun) {
  const auto unbound = run_program({"kernels", "--json", "--affinity", "none"}).json();
  EXPECT_EQ(unbound["affinity"], "none");
  EXPECT_GE(unbound["cores"], 1);
  EXPECT_GE(unbound["numa_nodes"], 1);
  const auto bound = run_program({"kernels", "--json", "--affinity", "cores", "--threads", "1"}).json();
  EXPECT_EQ(bound["affinity"], "cores");
  const auto cpu = bound["cpus"].get<std::string>();
  EXPECT_EQ(run_program({"kernels", "--json", "--cpus", cpu}).json()["affinity"], "compact");
  EXPECT_THAT(run_program({"kernels", "--cpus", cpu}).output, HasSubstr(cpu + ": 1 cores"));
  const auto refused = run_program({"kernels", "--cpus", cpu + "-"});
  EXPECT_EQ(refused.status, 1);
  EXPECT_THAT(refused.errors, HasSubstr("cpus is '" + cpu + "-'"));
}

TEST(Kernels, ALowerLevelSaysWhyTheHigherOnesAreSkipped) {
  const auto json = run_program({"kernels", "--json", "--isa", "portable", "--backend", "native"}).json();
  EXPECT_EQ(json["isa"], "portable");
  size_t skipped = 0;
  for (const auto& kernel : json["kernels"]) skipped += !kernel["usable"].get<bool>();
  EXPECT_GT(skipped, 0u);
  const auto text = run_program({"kernels", "--isa", "portable", "--backend", "native"}).output;
  for (const auto& kernel : json["kernels"]) {
    EXPECT_THAT(text, HasSubstr(kernel["skipped_because"].get<std::string>()));
  }
}

TEST(Kernels, VerbosePrintsTheTableOnStderr) {
  const auto finished = run_program({"info", kLlama, "--verbose", "--json"});
  EXPECT_EQ(finished.status, 0);
  EXPECT_THAT(finished.errors, HasSubstr("skipped because"));
  EXPECT_TRUE(finished.json().is_object());
}

}  // namespace
}  // namespace moxie::test
