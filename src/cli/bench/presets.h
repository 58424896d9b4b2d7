// Feed-forwards of known models.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace moxie::cli::bench {

struct Preset {
  const char* name;
  int64_t hidden;
  int64_t ffn;      // of one routed expert where there are several
  int32_t experts;  // 1: dense
  int32_t top_k;
};

const std::vector<Preset>& presets();

std::vector<std::string> preset_names();

// UsageError lists those there are.
const Preset& preset_called(const std::string& name);

}  // namespace moxie::cli::bench
