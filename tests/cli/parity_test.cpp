// Every bundled case, on everything this machine can compute with.
#include <gtest/gtest.h>

#include <algorithm>

#include "program.h"

namespace moxie::test {
namespace {

std::vector<std::string> bundled_cases() {
  std::vector<std::string> folders;
  for (const auto& entry : std::filesystem::directory_iterator(std::string(MOXIE_TEST_DATA) + "/parity/cases")) {
    if (entry.is_directory()) folders.push_back(entry.path().string());
  }
  std::sort(folders.begin(), folders.end());
  return folders;
}

nlohmann::json machine() { return run_program({"kernels", "--json"}).json(); }

std::vector<std::string> names(const char* list) { return machine().at(list).get<std::vector<std::string>>(); }

class Parity : public testing::TestWithParam<std::tuple<std::string, std::string, int>> {};

TEST_P(Parity, EveryCaseIsWithinItsLimits) {
  const auto& [isa, backend, threads] = GetParam();
  auto cases = bundled_cases();
  ASSERT_FALSE(cases.empty());
  std::vector<std::string> arguments{"parity",    "--json", "--isa",     isa,
                                     "--backend", backend,  "--threads", std::to_string(threads)};
  arguments.insert(arguments.end(), cases.begin(), cases.end());
  const auto finished = run_program(arguments);
  EXPECT_EQ(finished.status, 0) << finished.errors;
  const auto outcomes = finished.json();
  EXPECT_EQ(outcomes.size(), cases.size());
  for (const auto& outcome : outcomes) {
    EXPECT_EQ(outcome["verdict"], "pass") << outcome.dump(2);
    EXPECT_FALSE(outcome["outputs"].empty()) << outcome["case"];
  }
}

std::string name_of(const testing::TestParamInfo<Parity::ParamType>& info) {
  return std::get<0>(info.param) + "_" + std::get<1>(info.param) + "_" + std::to_string(std::get<2>(info.param));
}

INSTANTIATE_TEST_SUITE_P(Machine, Parity,
                         testing::Combine(testing::ValuesIn(names("machine_isas")),
                                          testing::ValuesIn(names("backends")), testing::Values(1, 2)),
                         name_of);

}  // namespace
}  // namespace moxie::test
