// Bases and adapter folders for the tests: those of the parity cases, and small ones written on the spot.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "adapter/adapter.h"
#include "adapter/base_linears.h"
#include "checkpoint/tensor_source.h"
#include "kernels/packed_matrix.h"
#include "runtime/error.h"

namespace moxie::test {

// The linears of a base with the memory they point into.
struct Base {
  adapter::BaseLinears linears;
  std::vector<std::unique_ptr<kernels::PackedMatrix>> weights;
};

// From the safetensors of tests/data/parity/bases/NAME.
Base parity_base(const std::string& name);
std::string parity_adapter(const std::string& name);  // its folder

// hidden 8, ffn 12, q 8, k and v 4, two layers, repeatable values.
Base small_base(bool gated = true);
// The same with a bank of experts for a feed-forward.
Base small_bank();
// What remains of a base for a lone feed-forward: attention without weights, one layer.
void keep_only_feed_forward(Base* base, int64_t layer);

struct StoredTensor {
  std::string dtype = "F32";
  std::vector<int64_t> shape;
  std::vector<float> values;
};

// An adapter in a temporary folder: adapter_config.json and adapter_model.safetensors.
class AdapterFolder {
 public:
  // A complete adapter over small_base: rank 2, alpha 4, three experts where the kind has any.
  AdapterFolder(const std::string& peft_type, const std::string& routing_strategy,
                const std::vector<std::string>& targets);
  ~AdapterFolder();
  AdapterFolder(const AdapterFolder&) = delete;
  AdapterFolder& operator=(const AdapterFolder&) = delete;

  nlohmann::json config;
  std::map<std::string, StoredTensor> tensors;

  StoredTensor& add(const std::string& name, const std::vector<int64_t>& shape);
  // Writes both files and says where.
  std::string write() const;
  [[nodiscard]] std::string path() const { return folder_.string(); }

 private:
  void add_pair(const std::string& prefix, int64_t in, int64_t out);

  std::filesystem::path folder_;
};

// Values that look random and are the same everywhere, within -0.5 .. 0.5.
std::vector<float> repeatable_values(const std::string& seed, int64_t count);

// The whole matrix, widened.
std::vector<float> unpacked(const kernels::PackedMatrix& matrix);
std::vector<float> unpacked(const kernels::FactorBank& bank, int64_t set = 0);

// Runs the action, which must throw an Error of that status whose message holds every part.
void expect_refusal(const std::function<void()>& action, mox_status status, const std::vector<std::string>& parts);

}  // namespace moxie::test
