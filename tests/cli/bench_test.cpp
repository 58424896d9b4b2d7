// moxie bench: figures that are there and hang together, not how good they are.
#include <gmock/gmock.h>

#include "program.h"

namespace moxie::test {
namespace {

using testing::HasSubstr;

std::vector<std::string> small(std::vector<std::string> more) {
  std::vector<std::string> arguments{"bench", "ffn", "--hidden", "64", "--ffn", "96", "--seconds", "0.01", "--json"};
  arguments.insert(arguments.end(), more.begin(), more.end());
  return arguments;
}

TEST(Bench, MeasuresEveryBatchSize) {
  for (const std::string weights : {"f32", "bf16"}) {
    const auto finished =
        run_program(small({"--experts", "4", "--top-k", "2", "--tokens", "1,5", "--weights", weights}));
    ASSERT_EQ(finished.status, 0) << finished.errors;
    EXPECT_THAT(finished.errors, HasSubstr("memory:"));
    const auto json = finished.json();
    ASSERT_EQ(json.size(), 2u);
    EXPECT_EQ(json[0]["tokens"], 1);
    EXPECT_EQ(json[1]["tokens"], 5);
    EXPECT_EQ(json[0]["experts_used"], 2);
    for (const auto& point : json) {
      const auto& time = point["milliseconds"];
      EXPECT_GT(time["min"], 0);
      EXPECT_LE(time["min"], time["median"]);
      EXPECT_LE(time["median"], time["max"]);
      EXPECT_GE(point["calls"], 5);
      const double operations = 2.0 * 3 * 64 * 96 * 2 * point["tokens"].get<double>();
      EXPECT_NEAR(point["gflops"].get<double>(), operations / time["median"].get<double>() / 1e6,
                  1e-9 * point["gflops"].get<double>());
      const double bytes = point["experts_used"].get<double>() * 3 * 64 * 96 * (weights == "f32" ? 4 : 2);
      EXPECT_NEAR(point["weight_gbs"].get<double>(), bytes / time["median"].get<double>() / 1e6,
                  1e-9 * point["weight_gbs"].get<double>());
      EXPECT_FALSE(point["kernel"].get<std::string>().empty());
    }
  }
}

TEST(Bench, VersusMeasuresBothAndTheirRatio) {
  const auto finished =
      run_program(small({"--experts", "1", "--tokens", "3", "--backend", "native", "--versus", "reference"}));
  ASSERT_EQ(finished.status, 0) << finished.errors;
  const auto json = finished.json();
  ASSERT_EQ(json.size(), 2u);
  EXPECT_NE(json[0]["kernel"], json[1]["kernel"]);
  EXPECT_EQ(json[0]["calls"], json[1]["calls"]);
  EXPECT_TRUE(json[0]["times_as_long"].is_null());
  EXPECT_GT(json[1]["times_as_long"], 0);
}

TEST(Bench, RefusesWhatDoesNotFit) {
  const auto finished = run_program({"bench", "ffn", "--hidden", "100000", "--ffn", "100000", "--experts", "1000"});
  EXPECT_EQ(finished.status, 1);
  EXPECT_THAT(finished.errors, HasSubstr("available"));
}

}  // namespace
}  // namespace moxie::test
