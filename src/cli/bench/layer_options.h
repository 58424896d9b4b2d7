// The options of commands that measure one feed-forward: its shape, the batches, how long to measure.
#pragma once

#include <CLI/CLI.hpp>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "cli/common_options.h"
#include "cli/synthetic.h"

namespace moxie::cli::bench {

struct LayerOptions {
  CommonOptions common;
  std::string preset;  // "": none
  std::optional<int64_t> hidden, ffn;
  std::optional<int32_t> experts, top_k;
  std::string weights = "bf16";
  std::string storage;
  std::vector<int64_t> tokens{1, 4, 16, 64, 512};
  double seconds = 1;

  // The preset's shape with what was given beside it; UsageError where it makes no sense.
  FfnShape shape() const;

  int64_t most_tokens() const;
};

// `preset`: the default.
void add_layer_options(CLI::App& command, LayerOptions& options, const std::string& preset);

// "--mebibytes": memory to read for a limit; what the option was given, as bytes.
void add_read_option(CLI::App& command, int64_t& mebibytes);
int64_t read_bytes(int64_t mebibytes);

// "--seconds"
void add_seconds_option(CLI::App& command, double& seconds, const std::string& what);

nlohmann::json shape_json(const FfnShape& shape);

// "4096 x 14336, 8 experts, top-2, bf16"
std::string shape_text(const FfnShape& shape);

// Bytes of activations a batch needs while it runs, about.
int64_t batch_bytes(const FfnShape& shape, int64_t tokens);

// Bytes while the packed weights of `copies` feed-forwards are made: the weights they are made from included.
int64_t packing_bytes(const FfnShape& shape, int64_t copies);

}  // namespace moxie::cli::bench
