// moxie bench: figures that are there and hang together, not how good they are.
#include <gmock/gmock.h>

#include <set>

#include "program.h"

namespace moxie::test {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;

using Arguments = std::vector<std::string>;

Arguments joined(Arguments arguments, const Arguments& more) {
  arguments.insert(arguments.end(), more.begin(), more.end());
  return arguments;
}

nlohmann::json json_of(const Arguments& arguments) {
  const auto finished = run_program(joined({"bench"}, joined(arguments, {"--json"})));
  EXPECT_EQ(finished.status, 0) << finished.errors;
  return finished.status == 0 ? finished.json() : nlohmann::json::object();
}

const Arguments kFfn{"ffn", "--hidden",  "64",   "--ffn",       "96", "--experts", "4", "--top-k",
                     "2",   "--seconds", "0.01", "--mebibytes", "8",  "--threads", "2"};

void expect_spread(const nlohmann::json& spread) {
  EXPECT_GT(spread.at("min"), 0);
  EXPECT_LE(spread.at("min"), spread.at("median"));
  EXPECT_LE(spread.at("median"), spread.at("max"));
}

// operations, bytes: of one call.
void expect_point(const nlohmann::json& point, double operations, double bytes) {
  expect_spread(point.at("milliseconds"));
  EXPECT_GE(point.at("calls"), 5);
  EXPECT_FALSE(point.at("kernel").get<std::string>().empty());
  const double fastest = point.at("milliseconds").at("min").get<double>() * (1 - 1e-9);
  const double slowest = point.at("milliseconds").at("max").get<double>() * (1 + 1e-9);
  const double gflops = point.at("gflops"), gbs = point.at("weight_gbs");
  EXPECT_GE(gflops, operations / slowest / 1e6);
  EXPECT_LE(gflops, operations / fastest / 1e6);
  EXPECT_GE(gbs, bytes / slowest / 1e6);
  EXPECT_LE(gbs, bytes / fastest / 1e6);
  EXPECT_GT(point.at("limits").at("gflops"), 0);
  EXPECT_GT(point.at("limits").at("read_gbs"), 0);
  const auto& fractions = point.at("fractions");
  EXPECT_GT(fractions.at("arithmetic"), 0);
  EXPECT_GT(fractions.at("bandwidth"), 0);
  // The roofline is the larger of the two in each call, so its median is no less than either's.
  EXPECT_GE(fractions.at("roofline"), fractions.at("arithmetic"));
  EXPECT_GE(fractions.at("roofline"), fractions.at("bandwidth"));
}

std::string machine_isa() { return run_program({"kernels", "--json"}).json().at("machine_isa"); }

TEST(BenchFfn, MeasuresEveryBatchSize) {
  for (const std::string weights : {"f32", "bf16"}) {
    const auto json = json_of(joined(kFfn, {"--tokens", "1,5", "--weights", weights}));
    EXPECT_EQ(json.at("shape"), (nlohmann::json{{"hidden", 64},
                                                {"ffn", 96},
                                                {"experts", 4},
                                                {"top_k", 2},
                                                {"weights", weights == "f32" ? "float32" : "bfloat16"}}));
    EXPECT_EQ(json.at("machine").at("threads"), 2);
    ASSERT_EQ(json.at("points").size(), 2u);
    const double expert_bytes = 3.0 * 64 * 96 * (weights == "f32" ? 4 : 2);
    for (size_t i = 0; i < 2; ++i) {
      const auto& point = json.at("points")[i];
      const int tokens = i == 0 ? 1 : 5;
      EXPECT_EQ(point.at("tokens"), tokens);
      const auto& used = point.at("experts_used");
      EXPECT_GE(used.at("min"), 2);
      EXPECT_LE(used.at("max"), 4);
      expect_point(point, 2.0 * 3 * 64 * 96 * 2 * tokens, used.at("median").get<double>() * expert_bytes);
      EXPECT_TRUE(point.at("times_as_long").is_null());
    }
    EXPECT_EQ(json.at("points")[0].at("experts_used").at("max"), 2);
  }
}

TEST(BenchFfn, BatchesRotateThroughTheExperts) {
  const auto point = json_of(joined(kFfn, {"--tokens", "1"})).at("points")[0];
  EXPECT_GE(point.at("rotation").at("batches"), 2);
  EXPECT_EQ(point.at("rotation").at("weight_bytes"), 4 * 3 * 64 * 96 * 2) << "all experts take their turn";
}

TEST(BenchFfn, SaysThatWeightsFitTheCaches) {
  const auto json = json_of(joined(kFfn, {"--tokens", "1"}));
  EXPECT_EQ(json.at("weights").at("fit_caches"), true);
  EXPECT_GE(json.at("weights").at("bytes"), 4 * 3 * 64 * 96 * 2);
  const auto text = run_program(joined({"bench"}, joined(kFfn, {"--tokens", "1"})));
  EXPECT_EQ(text.status, 0);
  EXPECT_THAT(text.output, HasSubstr("fits the caches"));
  EXPECT_THAT(text.output, HasSubstr("of roofline"));
  EXPECT_THAT(text.errors, HasSubstr("memory:"));
}

TEST(BenchFfn, ResidentMemoryHoldsTheWeights) {
  constexpr int64_t router = int64_t{4} * 1024 * 4, experts = int64_t{4} * 3 * 1024 * 2048 * 2;
  for (const std::string storage : {"plain", "compact"}) {
    const auto json = json_of({"ffn", "--hidden", "1024", "--ffn", "2048", "--experts", "4", "--top-k", "1", "--tokens",
                               "1", "--seconds", "0.01", "--mebibytes", "8", "--storage", storage});
    const int64_t bytes = json.at("weights").at("bytes"), resident = json.at("weights").at("resident_bytes");
    EXPECT_EQ(bytes, router + (storage == "plain" ? experts : experts / 16384 * 12352)) << "experts and their router";
    EXPECT_GE(resident, bytes * 9 / 10);
    const std::string kernel = json.at("points")[0].at("kernel");
    EXPECT_EQ(kernel.ends_with(", compact"), storage == "compact") << kernel;
  }
}

TEST(BenchFfn, ArithmeticIsHeldAgainstTheKernelsOwnInstructionSet) {
  const auto limit = [](const Arguments& more) {
    const auto point = json_of(joined(joined(kFfn, {"--tokens", "1", "--backend", "native"}), more)).at("points")[0];
    return point.at("kernel").get<std::string>() + ": " + point.at("limits").at("arithmetic").get<std::string>();
  };
  EXPECT_EQ(limit({"--isa", "portable"}), "portable: sse2 mul, add");
  const auto isa = machine_isa();
  if (isa != "portable") {
    EXPECT_EQ(limit({"--isa", "avx2"}), "avx2: avx2 fma");
  }
  if (isa == "avx512_bf16" || isa == "amx") {
    EXPECT_EQ(limit({"--isa", "avx512_bf16"}), "avx512_bf16: vdpbf16ps");
    EXPECT_EQ(limit({"--isa", "avx512_bf16", "--weights", "f32"}), "avx512_bf16: avx512 fma");
  }
}

TEST(BenchFfn, PresetsGiveTheShapeAndOptionsOverrideIt) {
  const Arguments quick{"--tokens", "2", "--seconds", "0.01", "--mebibytes", "8"};
  auto json = json_of(joined({"ffn", "--preset", "tiny-mixtral"}, quick));
  EXPECT_EQ(json.at("shape"),
            (nlohmann::json{{"hidden", 128}, {"ffn", 256}, {"experts", 8}, {"top_k", 2}, {"weights", "bfloat16"}}));
  json = json_of(joined({"ffn", "--preset", "tiny-llama", "--ffn", "96"}, quick));
  EXPECT_EQ(json.at("shape"),
            (nlohmann::json{{"hidden", 192}, {"ffn", 96}, {"experts", 1}, {"top_k", 1}, {"weights", "bfloat16"}}));
  EXPECT_EQ(json.at("points")[0].at("experts_used").at("median"), 1);
}

TEST(BenchFfn, VersusMeasuresBothAndTheirRatio) {
  const auto json = json_of(joined(kFfn, {"--tokens", "3", "--backend", "native", "--versus", "reference"}));
  const auto& points = json.at("points");
  ASSERT_EQ(points.size(), 2u);
  EXPECT_NE(points[0].at("kernel"), points[1].at("kernel"));
  EXPECT_EQ(points[0].at("calls"), points[1].at("calls"));
  EXPECT_TRUE(points[0].at("times_as_long").is_null());
  EXPECT_GT(points[1].at("times_as_long"), 0);
}

TEST(BenchFfn, DefaultsAreMixtralsAndFiveBatchSizes) {
  const auto help = run_program({"bench", "ffn", "--help"}).output;
  EXPECT_THAT(help, HasSubstr("=[1,4,16,64,512]"));
  EXPECT_THAT(help, HasSubstr("=mixtral-8x7b"));
}

TEST(BenchCompare, MeasuresEveryPair) {
  const Arguments quick{"--tokens", "1,3", "--seconds", "0.01", "--mebibytes", "8", "--preset", "tiny-mixtral"};
  const auto json = json_of(joined({"compare", "--contenders", "native,native:portable,eigen,reference"}, quick));
  const auto& points = json.at("points");
  ASSERT_EQ(points.size(), 8u);
  const std::vector<std::string> names{"native", "native:portable", "eigen", "reference"};
  for (size_t i = 0; i < points.size(); ++i) {
    const auto& point = points[i];
    EXPECT_EQ(point.at("contender"), names[i % 4]);
    const int tokens = i < 4 ? 1 : 3;
    EXPECT_EQ(point.at("tokens"), tokens);
    expect_point(point, 2.0 * 3 * 128 * 256 * 2 * tokens,
                 point.at("experts_used").at("median").get<double>() * 3 * 128 * 256 * 2);
    EXPECT_EQ(point.at("times_as_long_as").size(), 3u);
    for (const auto& ratio : point.at("times_as_long_as")) EXPECT_GT(ratio, 0);
    EXPECT_FALSE(point.at("times_as_long_as").contains(names[i % 4]));
  }
  EXPECT_EQ(points[1].at("kernel"), "portable");
}

TEST(BenchCompare, ByDefaultTakesTheUsableBackendsButTheReference) {
  const auto json =
      json_of({"compare", "--tokens", "1", "--seconds", "0.01", "--mebibytes", "8", "--preset", "tiny-llama"});
  std::vector<std::string> names;
  for (const auto& point : json.at("points")) names.push_back(point.at("contender"));
  EXPECT_THAT(names, testing::Contains("native"));
  EXPECT_THAT(names, testing::Contains("eigen"));
  EXPECT_THAT(names, testing::Not(testing::Contains("reference")));
}

TEST(BenchMachine, MeasuresEveryInstructionSetThereIs) {
  const auto json = json_of({"machine", "--threads", "2", "--mebibytes", "8", "--seconds", "0.002"});
  EXPECT_EQ(json.at("memory_fits_caches"), true);
  std::set<std::string> isas, where;
  for (const auto& peak : json.at("peaks")) {
    expect_spread(peak.at("gflops"));
    isas.insert(peak.at("isa").get<std::string>());
    where.insert(peak.at("operands_in").get<std::string>());
  }
  EXPECT_EQ(where, (std::set<std::string>{"L1", "L2", "registers"}));
  const auto kernels = run_program({"kernels", "--json"}).json();
  const std::set<std::string> expected = kernels.at("machine_isas");
  EXPECT_EQ(isas, expected);
  EXPECT_EQ(json.at("peaks").size(), isas.size() * 3 * 2) << "from three places, by one thread and by two";
}

TEST(BenchMachine, ReadsInStreamsFromBothKindsOfPages) {
  const auto json = json_of({"machine", "--threads", "2", "--mebibytes", "8", "--seconds", "0.002"});
  std::set<std::string> seen;
  for (const auto& read : json.at("reads")) {
    expect_spread(read.at("gbs"));
    seen.insert(read.at("pages").get<std::string>() + read.at("streams").dump() + read.at("prefetching").dump() +
                read.at("threads").dump());
  }
  EXPECT_EQ(seen.size(), 2u * 4 * 2 * 2);
  EXPECT_EQ(json.at("reads").size(), seen.size());
  ASSERT_EQ(json.at("copies").size(), 4u);
  for (const auto& copy : json.at("copies")) expect_spread(copy.at("gbs"));
  ASSERT_EQ(json.at("memory").size(), 2u);
  for (const auto& memory : json.at("memory")) EXPECT_EQ(memory.at("bytes"), 8 << 20);
}

TEST(BenchMachine, StaysBelowTheLevelAskedFor) {
  const auto json =
      json_of({"machine", "--threads", "1", "--mebibytes", "4", "--seconds", "0.002", "--isa", "portable"});
  for (const auto& peak : json.at("peaks")) {
    EXPECT_EQ(peak.at("isa"), "portable");
    EXPECT_EQ(peak.at("threads"), 1);
  }
  EXPECT_EQ(json.at("peaks").size(), 3u);
}

const Arguments kAdapters{"adapters", "--preset",  "tiny-llama", "--rank",          "4", "--lora-experts",
                          "3",        "--seconds", "0.002",      "--adapter-top-k", "2"};

TEST(BenchAdapters, MeasuresEveryKindAndCount) {
  const auto json = json_of(joined(kAdapters, {"--tokens", "1,6", "--counts", "0,1,4"}));
  const std::vector<std::string> kinds{"lora",           "rslora",  "dora", "mixlora", "mixlora-dynamic",
                                       "mixlora-switch", "loramoe", "mola"};
  // One token holds no four ranges.
  ASSERT_EQ(json.at("points").size(), kinds.size() * 5);
  for (size_t i = 0; i < json.at("points").size(); ++i) {
    const auto& point = json.at("points")[i];
    EXPECT_EQ(point.at("kind"), kinds[i / 5]);
    const int tokens = i % 5 < 2 ? 1 : 6;
    const int count = std::vector<int>{0, 1, 0, 1, 4}[i % 5];
    EXPECT_EQ(point.at("tokens"), tokens);
    EXPECT_EQ(point.at("adapters"), count);
    expect_spread(point.at("base_milliseconds"));
    expect_spread(point.at("milliseconds"));
    EXPECT_GE(point.at("rounds"), 5);
    EXPECT_GT(point.at("over_base"), 0);
    EXPECT_EQ(point.at("over_one_adapter").is_null(), count < 2);
    EXPECT_FALSE(point.at("kernel").get<std::string>().empty());
    // A and B of gate, up and down: more for the kinds with experts.
    const int64_t pair_bytes = int64_t{3} * 4 * (192 + 512) * 4;
    EXPECT_GE(point.at("adapter_bytes"), i / 5 < 3 ? pair_bytes : 3 * pair_bytes);
  }
  EXPECT_EQ(json.at("adapter").at("rank"), 4);
}

TEST(BenchAdapters, FactorsHalveInBfloat16) {
  const Arguments lora = joined(kAdapters, {"--kinds", "lora", "--tokens", "1", "--counts", "1"});
  const auto wide = json_of(joined(lora, {"--factors", "f32"})), narrow = json_of(joined(lora, {"--factors", "bf16"}));
  EXPECT_EQ(wide.at("adapter").at("factors"), "float32");
  EXPECT_EQ(narrow.at("adapter").at("factors"), "bfloat16");
  const auto bytes = [](const nlohmann::json& json) { return json.at("points")[0].at("adapter_bytes").get<int64_t>(); };
  EXPECT_EQ(bytes(wide), 2 * bytes(narrow));
}

TEST(BenchAdapters, KindsAndCountsSelect) {
  const auto finished =
      run_program(joined({"bench"}, joined(kAdapters, {"--kinds", "mola,dora", "--counts", "2", "--tokens", "2"})));
  EXPECT_EQ(finished.status, 0) << finished.errors;
  EXPECT_THAT(finished.output, HasSubstr("mola"));
  EXPECT_THAT(finished.output, HasSubstr("dora"));
  EXPECT_THAT(finished.output, testing::Not(HasSubstr("mixlora")));
  EXPECT_THAT(finished.output, HasSubstr("over one adapter"));
  EXPECT_THAT(finished.errors, HasSubstr("memory:"));
}

TEST(BenchModel, MeasuresBaseAndAdapters) {
  const auto json =
      json_of({"model", bundled("tiny-llama"), "--adapter", bundled("kjv-mixlora"), "--adapter", bundled("jargon-lora"),
               "--prompt", "3,9", "--batch", "1,3", "--decode", "2", "--seconds", "0.01"});
  EXPECT_EQ(json.at("model").at("family"), "llama");
  EXPECT_GT(json.at("model").at("weight_bytes"), 6'000'000);
  EXPECT_GT(json.at("resident_bytes").at("run"), 0);
  ASSERT_EQ(json.at("adapters").size(), 2u);
  EXPECT_EQ(json.at("adapters")[0].at("name"), "kjv-mixlora");
  EXPECT_EQ(json.at("adapters")[1].at("kind"), "lora");
  ASSERT_EQ(json.at("points").size(), 8u);
  for (size_t i = 0; i < 8; ++i) {
    const auto& point = json.at("points")[i];
    const double prompt = i < 4 ? 3 : 9, batch = i % 4 < 2 ? 1 : 3;
    EXPECT_EQ(point.at("prompt"), prompt);
    EXPECT_EQ(point.at("batch"), batch);
    EXPECT_EQ(point.at("adapters"), i % 2 == 0 ? 0 : 2);
    EXPECT_FALSE(point.at("kernel").get<std::string>().empty());
    for (const char* part : {"prefill", "decode"}) {
      expect_spread(point.at(part).at("milliseconds"));
      const double tokens = batch * (part == std::string("prefill") ? prompt : 2);
      EXPECT_NEAR(point.at(part).at("tokens_per_second").get<double>() *
                      point.at(part).at("milliseconds").at("median").get<double>() / 1e3,
                  tokens, 1e-6 * tokens);
      EXPECT_EQ(point.at(std::string(part) + "_over_base").is_null(), i % 2 == 0);
    }
  }
}

TEST(BenchModel, WithoutAdaptersMeasuresTheBaseAlone) {
  const auto finished = run_program({"bench", "model", bundled("tiny-mixtral"), "--prompt", "4", "--batch", "2",
                                     "--decode", "1", "--seconds", "0.01"});
  EXPECT_EQ(finished.status, 0) << finished.errors;
  EXPECT_THAT(finished.output, HasSubstr("tokens/s"));
  EXPECT_THAT(finished.output, HasSubstr("resident"));
  EXPECT_THAT(finished.errors, HasSubstr("memory:"));
}

TEST(BenchModel, TheSameAdapterTwiceIsTwoAdapters) {
  const auto json =
      json_of({"model", bundled("tiny-llama"), "--adapter", bundled("jargon-lora"), "--adapter",
               bundled("jargon-lora") + "/", "--prompt", "2", "--batch", "2", "--decode", "1", "--seconds", "0.01"});
  ASSERT_EQ(json.at("adapters").size(), 2u);
  EXPECT_NE(json.at("adapters")[0].at("name"), json.at("adapters")[1].at("name"));
}

struct Refusal {
  Arguments arguments;
  const char* said;
};

class BenchRefusals : public testing::TestWithParam<Refusal> {};

TEST_P(BenchRefusals, FailAndSayWhy) {
  const auto finished = run_program(joined({"bench"}, GetParam().arguments));
  EXPECT_EQ(finished.status, 1) << finished.output;
  EXPECT_THAT(finished.errors, HasSubstr(GetParam().said));
  EXPECT_THAT(finished.output, IsEmpty());
}

const Arguments kEnormous{"--hidden", "100000", "--ffn", "100000"};

INSTANTIATE_TEST_SUITE_P(
    All, BenchRefusals,
    testing::Values(Refusal{joined({"ffn", "--experts", "1000"}, kEnormous), "available"},
                    Refusal{joined({"compare", "--experts", "1000"}, kEnormous), "available"},
                    Refusal{joined({"adapters", "--rank", "4096", "--lora-experts", "1024"}, kEnormous), "available"},
                    Refusal{{"machine", "--mebibytes", "1048576"}, "available"},
                    Refusal{{"ffn", "--preset", "tiny-llama", "--mebibytes", "1048576"}, "available"},
                    Refusal{{"model", "/no/such/model"}, "/no/such/model"},
                    Refusal{{"model", bundled("tiny-llama"), "--adapter", "/no/such/adapter"}, "/no/such/adapter"},
                    Refusal{{"model", bundled("tiny-llama"), "--prompt", "500", "--decode", "13"}, "512 positions"}));

}  // namespace
}  // namespace moxie::test
