#include "cli/bench/presets.h"

#include "cli/failure.h"

namespace moxie::cli::bench {

const std::vector<Preset>& presets() {
  static const std::vector<Preset> table{
      {"llama-7b", 4096, 11008, 1, 1},         {"llama-8b", 4096, 14336, 1, 1},
      {"llama-13b", 5120, 13824, 1, 1},        {"llama-70b", 8192, 28672, 1, 1},
      {"mistral-7b", 4096, 14336, 1, 1},       {"tinyllama-1.1b", 2048, 5632, 1, 1},
      {"mixtral-8x7b", 4096, 14336, 8, 2},     {"mixtral-8x22b", 6144, 16384, 8, 2},
      {"qwen3-30b-a3b", 2048, 768, 128, 8},    {"qwen3-235b-a22b", 4096, 1536, 128, 8},
      {"deepseek-v2-lite", 2048, 1408, 64, 6}, {"deepseek-v3", 7168, 2048, 256, 8},
      {"olmoe-1b-7b", 2048, 1024, 64, 8},      {"phi-3.5-moe", 4096, 6400, 16, 2},
      {"tiny-llama", 192, 512, 1, 1},          {"tiny-mixtral", 128, 256, 8, 2},
  };
  return table;
}

std::vector<std::string> preset_names() {
  std::vector<std::string> names;
  for (const auto& preset : presets()) names.emplace_back(preset.name);
  return names;
}

const Preset& preset_called(const std::string& name) {
  std::string known;
  for (const auto& preset : presets()) {
    if (name == preset.name) return preset;
    known += (known.empty() ? "" : ", ") + std::string(preset.name);
  }
  throw UsageError("there is no preset '" + name + "'; there are " + known);
}

}  // namespace moxie::cli::bench
