#include "cli/bench/layer_options.h"

#include <algorithm>

#include "cli/bench/limits.h"
#include "cli/bench/presets.h"
#include "cli/failure.h"

namespace moxie::cli::bench {

FfnShape LayerOptions::shape() const {
  const Preset& start = preset_called(preset);
  FfnShape shape;
  shape.hidden = hidden.value_or(start.hidden);
  shape.ffn = ffn.value_or(start.ffn);
  shape.experts = experts.value_or(start.experts);
  shape.top_k = top_k.value_or(experts && !top_k ? std::min(start.top_k, *experts) : start.top_k);
  shape.weights = weights == "f32" ? MOX_F32 : MOX_BF16;
  shape.storage = storage_called(storage);
  if (shape.experts == 1) shape.top_k = 1;
  if (shape.top_k > shape.experts) {
    throw UsageError("--top-k " + std::to_string(shape.top_k) + " of " + std::to_string(shape.experts) + " experts");
  }
  return shape;
}

int64_t LayerOptions::most_tokens() const { return *std::max_element(tokens.begin(), tokens.end()); }

void add_layer_options(CLI::App& command, LayerOptions& options, const std::string& preset) {
  const std::string group = "Layer";
  options.preset = preset;
  command.add_option("--preset", options.preset, "The shape of a known model's layer; what is given beside it counts")
      ->check(CLI::IsMember(preset_names()))
      ->capture_default_str()
      ->group(group);
  command.add_option("--hidden", options.hidden, "Width of the rows")->check(CLI::Range(1, 1 << 20))->group(group);
  command.add_option("--ffn", options.ffn, "Width inside an expert")->check(CLI::Range(1, 1 << 20))->group(group);
  command.add_option("--experts", options.experts, "1: a dense feed-forward")
      ->check(CLI::Range(1, 65536))
      ->group(group);
  command.add_option("--top-k", options.top_k, "Experts of a token")->check(CLI::Range(1, 65536))->group(group);
  command.add_option("--weights", options.weights, "Their type")
      ->check(CLI::IsMember({"f32", "bf16"}))
      ->capture_default_str()
      ->group(group);
  add_storage_option(command, options.storage);
  command.add_option("--tokens", options.tokens, "Batch sizes to measure")
      ->delimiter(',')
      ->check(CLI::Range(1, 1 << 20))
      ->capture_default_str();
  add_seconds_option(command, options.seconds, "How long to measure each row at least");
  add_json_option(command, options.common);
  add_common_options(command, options.common);
}

void add_read_option(CLI::App& command, int64_t& mebibytes) {
  command
      .add_option("--mebibytes", mebibytes,
                  "Memory to read for the limits (default: 4 times the caches, at least 1024)")
      ->check(CLI::Range(1, 1 << 20));
}

int64_t read_bytes(int64_t mebibytes) { return mebibytes > 0 ? mebibytes << 20 : ReadMemory::default_bytes(); }

void add_seconds_option(CLI::App& command, double& seconds, const std::string& what) {
  command.add_option("--seconds", seconds, what)->check(CLI::Range(1e-6, 3600.0))->capture_default_str();
}

nlohmann::json shape_json(const FfnShape& shape) {
  return {{"hidden", shape.hidden},
          {"ffn", shape.ffn},
          {"experts", shape.experts},
          {"top_k", shape.top_k},
          {"weights", mox_dtype_name(shape.weights)}};
}

std::string shape_text(const FfnShape& shape) {
  return std::to_string(shape.hidden) + " x " + std::to_string(shape.ffn) +
         (shape.experts == 1 ? std::string(", dense")
                             : ", " + std::to_string(shape.experts) + " experts, top-" + std::to_string(shape.top_k)) +
         ", " + mox_dtype_name(shape.weights);
}

int64_t batch_bytes(const FfnShape& shape, int64_t tokens) {
  return tokens * shape.top_k * (shape.ffn + 2 * shape.hidden) * static_cast<int64_t>(sizeof(float));
}

int64_t packing_bytes(const FfnShape& shape, int64_t copies) {
  const int64_t one_matrix = shape.hidden * shape.ffn * static_cast<int64_t>(sizeof(float));  // before it is rounded
  return copies * shape.experts * shape.expert_bytes() + shape.expert_bytes() + one_matrix;
}

}  // namespace moxie::cli::bench
