// The router-loss cases of the parity data, through the C surface.
#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "moxie/router_loss.h"

namespace {

using nlohmann::json;
namespace fs = std::filesystem;

std::string bytes_of(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) throw std::runtime_error("cannot read " + path.string());
  return {std::istreambuf_iterator<char>(file), {}};
}

// A safetensors file of float32, float64, bool and integer tensors, widened. Not the library's reader: a second
// opinion.
class Tensors {
 public:
  explicit Tensors(const fs::path& path) : bytes_(bytes_of(path)) {
    uint64_t length = 0;
    std::memcpy(&length, bytes_.data(), sizeof(length));
    header_ = json::parse(bytes_.substr(8, length));
    data_ = 8 + length;
  }
  [[nodiscard]] bool has(const std::string& name) const { return header_.contains(name); }
  [[nodiscard]] std::vector<int64_t> shape(const std::string& name) const { return header_.at(name).at("shape"); }

  [[nodiscard]] std::vector<double> read(const std::string& name) const {
    const json& entry = header_.at(name);
    const std::string dtype = entry.at("dtype");
    if (dtype == "F32") return values<float>(entry);
    if (dtype == "F64") return values<double>(entry);
    if (dtype == "I64") return values<int64_t>(entry);
    if (dtype == "I32") return values<int32_t>(entry);
    if (dtype == "BOOL" || dtype == "U8") return values<uint8_t>(entry);
    throw std::runtime_error(name + ": dtype " + dtype);
  }

 private:
  template <typename T>
  [[nodiscard]] std::vector<double> values(const json& entry) const {
    const size_t begin = entry.at("data_offsets").at(0);
    const size_t end = entry.at("data_offsets").at(1);
    std::vector<T> raw((end - begin) / sizeof(T));
    std::memcpy(raw.data(), bytes_.data() + data_ + begin, end - begin);
    return {raw.begin(), raw.end()};
  }

  std::string bytes_;
  json header_;
  size_t data_ = 0;
};

double relative_l2(const std::vector<double>& found, const std::vector<double>& truth) {
  double difference = 0;
  double norm = 0;
  for (size_t i = 0; i < truth.size(); ++i) {
    difference += (found[i] - truth[i]) * (found[i] - truth[i]);
    norm += truth[i] * truth[i];
  }
  return std::sqrt(difference / norm);
}

mox_router_kind kind_of(const std::string& strategy) {
  if (strategy == "mixlora") return MOX_ROUTER_MIXLORA;
  if (strategy == "mixlora-dynamic") return MOX_ROUTER_DYNAMIC;
  if (strategy == "mixlora-switch") return MOX_ROUTER_SWITCH;
  if (strategy == "mola") return MOX_ROUTER_MOLA;
  throw std::runtime_error("strategy " + strategy);
}

class RouterLossParity : public testing::TestWithParam<std::string> {};

TEST_P(RouterLossParity, Agrees) {
  const fs::path folder = fs::path(MOXIE_TEST_DATA) / "parity/cases" / GetParam();
  const json meta = json::parse(bytes_of(folder / "case.json"));
  const Tensors inputs(folder / "inputs.safetensors");
  const Tensors expected(folder / "expected.safetensors");
  const json& settings = meta.at("options");

  mox_router_loss_options options;
  mox_router_loss_options_init(&options, sizeof(options));
  options.kind = kind_of(settings.at("strategy"));
  options.experts = settings.at("num_experts");
  options.top_k = settings.value("top_k", options.top_k);
  options.top_p = settings.value("top_p", options.top_p);
  options.temperature = settings.value("temperature", options.temperature);
  options.capacity = settings.value("expert_capacity", options.capacity);
  options.balance_coefficient = settings.value("router_aux_loss_coef", options.balance_coefficient);
  options.z_coefficient = settings.value("router_z_loss_coef", options.z_coefficient);
  options.layers = settings.at("layers");
  options.sequences = settings.at("sequences");

  const std::vector<double> wide = inputs.read("router_logits");
  const std::vector<float> logits(wide.begin(), wide.end());
  const int64_t rows = inputs.shape("router_logits").at(0);
  std::vector<uint8_t> mask;
  if (inputs.has("attention_mask")) {
    for (const double value : inputs.read("attention_mask")) mask.push_back(static_cast<uint8_t>(value));
  }
  // The reference leaves padding out of the balance loss of MixLoRA and MoLA only; profiles count every row.
  const bool masked = options.kind == MOX_ROUTER_MIXLORA || options.kind == MOX_ROUTER_MOLA;

  mox_error error{};
  options.mask = masked && !mask.empty() ? mask.data() : nullptr;
  double loss = 0;
  ASSERT_EQ(mox_router_loss(&options, logits.data(), rows, &loss, &error), MOX_OK) << error.message;
  const auto limit = [&](const char* output) {
    return meta.at("outputs").at(output).at("limit").at("relative_l2").get<double>();
  };
  EXPECT_LE(relative_l2({loss}, expected.read("aux_loss")), limit("aux_loss"));

  options.mask = nullptr;
  std::vector<double> profile(static_cast<size_t>(options.layers * options.experts));
  ASSERT_EQ(mox_router_profile(&options, logits.data(), rows, profile.data(), &error), MOX_OK) << error.message;
  ASSERT_EQ(profile.size(), expected.read("expert_profile").size());
  EXPECT_LE(relative_l2(profile, expected.read("expert_profile")), limit("expert_profile"));
}

std::vector<std::string> cases() {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(fs::path(MOXIE_TEST_DATA) / "parity/cases")) {
    const std::string name = entry.path().filename();
    if (name.starts_with("rl-")) names.push_back(name);
  }
  std::sort(names.begin(), names.end());
  return names;
}

INSTANTIATE_TEST_SUITE_P(Cases, RouterLossParity, testing::ValuesIn(cases()), [](const auto& tested) {
  std::string name = tested.param;
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
});

TEST(RouterLossParityCases, AreAllThere) { EXPECT_EQ(cases().size(), 9U); }

// A bank's loss, from the logits of both layers.
TEST(RouterLossParityCases, MixtralsBalance) {
  const fs::path folder = fs::path(MOXIE_TEST_DATA) / "parity/cases/mixtral";
  const Tensors expected(folder / "expected.safetensors");
  const std::vector<double> wide = expected.read("router_logits.0");
  const std::vector<float> logits(wide.begin(), wide.end());
  mox_router_loss_options options;
  mox_router_loss_options_init(&options, sizeof(options));
  options.kind = MOX_ROUTER_TOP_K;
  options.experts = 5;
  options.top_k = 2;
  options.balance_coefficient = 1;
  options.layers = 2;
  mox_error error{};
  double loss = 0;
  ASSERT_EQ(mox_router_loss(&options, logits.data(), static_cast<int64_t>(logits.size()) / 5, &loss, &error), MOX_OK)
      << error.message;
  EXPECT_LE(relative_l2({loss}, expected.read("aux_loss.0")), 4.072e-07);  // the case's own limit
}

}  // namespace
