// A parity case as it lies on disk: what was run, and what came out. Whatever is not understood is an error: a case
// must never pass because a part of it was passed over.
#pragma once

#include <filesystem>
#include <initializer_list>
#include <nlohmann/json.hpp>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "cli/handles.h"
#include "cli/tensors.h"

namespace moxie::cli::parity {

// The case cannot be run, which is neither a pass nor a failure.
class NotRun : public std::runtime_error {
  using std::runtime_error::runtime_error;
};

struct Limit {
  bool equal = false;  // integers
  double relative_l2 = 0, max_over_rms = 0;
};

struct Output {
  std::string name;
  Limit limit;
};

// Sequences begin .. end - 1 under one adapter.
struct CaseRange {
  std::string adapter;  // "": the plain base
  int64_t begin = 0, end = 0;
};

class Case {
 public:
  explicit Case(const std::filesystem::path& folder);

  std::string name;
  std::string kind;
  std::vector<Output> outputs;
  std::vector<CaseRange> ranges;

  std::string base() const;  // path of the base checkpoint
  int32_t layer() const;     // for kinds below `model`
  std::string adapter_folder(const std::string& adapter) const;
  const nlohmann::json& options() const { return options_; }

  // Throws NotRun where the case has other options or inputs than these.
  void understand(std::initializer_list<const char*> options, std::initializer_list<const char*> inputs) const;

  // For kinds that run no batch of ranges: one range, without an adapter.
  void expect_plain_base() const;

  // The ranges must cover this many sequences, each once, in order.
  void expect_sequences(int64_t sequences) const;

  bool has_input(const std::string& input) const { return inputs_.has(input); }
  Tensor input(const std::string& input, size_t dimensions) const;
  Tensor expected(const std::string& output) const { return expected_.read(output); }

  // An option, or what holds without it.
  template <typename T>
  T option(const char* option, T otherwise) const {
    if (!options_.contains(option)) return otherwise;
    return read<T>(options_.at(option), std::string("option '") + option + "'");
  }

  template <typename T>
  T option(const char* option) const {
    if (!options_.contains(option)) throw NotRun(std::string("option '") + option + "' is missing");
    return read<T>(options_.at(option), std::string("option '") + option + "'");
  }

 private:
  template <typename T>
  static T read(const nlohmann::json& value, const std::string& what) {
    try {
      return value.get<T>();
    } catch (const nlohmann::json::exception& error) {
      throw NotRun(what + ": " + error.what());
    }
  }

  void read_outputs();
  void read_ranges();

  std::filesystem::path folder_;
  nlohmann::json meta_;
  nlohmann::json options_;
  TensorFile inputs_;
  TensorFile expected_;
};

}  // namespace moxie::cli::parity
