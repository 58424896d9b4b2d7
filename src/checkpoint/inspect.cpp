#include "checkpoint/inspect.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <map>
#include <optional>

#include "checkpoint/file_access.h"
#include "checkpoint/roles.h"
#include "checkpoint/safetensors.h"
#include "checkpoint/text.h"
#include "checkpoint/torch_archive.h"
#include "runtime/error.h"

namespace moxie::checkpoint {
namespace {

std::string number(double value) {
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), "%g", value);
  return text.data();
}

std::string rope_text(const Rope& rope) {
  std::string text = "theta " + number(rope.theta);
  if (rope.scaling != RopeScaling::none) {
    text += std::string(", ") + rope_scaling_name(rope.scaling) + " factor " + number(rope.factor);
  }
  if (rope.interleaved) text += ", interleaved";
  return text + ", " + std::to_string(rope.rotary_dim) + " dimensions";
}

std::string window_text(const std::vector<int64_t>& windows) {
  const auto one = [](int64_t window) { return window == 0 ? std::string("none") : std::to_string(window); };
  constexpr size_t shown = 8;
  if (std::all_of(windows.begin(), windows.end(), [&](int64_t window) { return window == windows[0]; })) {
    return one(windows[0]);
  }
  std::string text;
  for (size_t layer = 0; layer < windows.size() && layer < shown; ++layer) {
    text += (layer == 0 ? "" : ", ") + one(windows[layer]);
  }
  return windows.size() > shown ? text + ", ..." : text;
}

Settings settings_of(const Architecture& a) {
  Settings settings = {{"hidden", std::to_string(a.hidden)},        {"ffn", std::to_string(a.ffn)},
                       {"layers", std::to_string(a.layers)},        {"heads", std::to_string(a.heads)},
                       {"kv heads", std::to_string(a.kv_heads)},    {"head dim", std::to_string(a.head_dim)},
                       {"vocabulary", std::to_string(a.vocabulary)}};
  if (a.experts > 0) {
    settings.emplace_back("experts", std::to_string(a.experts));
    settings.emplace_back("top-k", std::to_string(a.top_k));
  }
  settings.emplace_back("activation", activation_name(a.activation));
  settings.emplace_back("rope", rope_text(a.rope));
  settings.emplace_back("window", window_text(a.windows));
  if (a.max_positions > 0) settings.emplace_back("positions", std::to_string(a.max_positions));
  settings.emplace_back("tied embeddings", a.tied_embeddings ? "yes" : "no");
  return settings;
}

// Runs one step of the inspection; what it refuses is a problem.
template <typename Step>
void attempt(std::vector<std::string>& problems, Step&& step) {
  try {
    step();
  } catch (const Error& error) {
    problems.emplace_back(error.what());
  }
}

bool is_zip(const std::string& path) {
  const File file(path);
  std::array<char, 4> begin{};
  if (file.size() < static_cast<int64_t>(begin.size())) return false;
  file.read(0, static_cast<int64_t>(begin.size()), begin.data());
  return std::string_view(begin.data(), 2) == "PK";
}

}  // namespace

Inspection inspect_checkpoint(const std::string& folder) {
  Inspection result;
  const CheckpointFiles files = find_checkpoint_files(folder);
  std::optional<Architecture> architecture;
  attempt(result.problems, [&] { architecture = read_architecture(files); });
  attempt(result.problems, [&] { result.tensors = open_checkpoint_tensors(files, false); });
  if (architecture) {
    result.family = architecture->family;
    result.format = architecture->format;
    result.settings = settings_of(*architecture);
    attempt(result.problems, [&] { require_attention(*architecture, join_path(folder, files.config)); });
  }
  if (result.tensors) result.settings.emplace_back("dtypes", dtype_counts(*result.tensors));
  if (architecture && result.tensors) {
    const auto problems = tensor_problems(*architecture, *result.tensors);
    result.problems.insert(result.problems.end(), problems.begin(), problems.end());
  }
  return result;
}

Inspection inspect_tensor_file(const std::string& path) {
  Inspection result;
  const bool archive = is_zip(path);
  result.format = archive ? "torch archive" : "safetensors";
  result.tensors = archive ? open_torch_archive(path) : open_safetensors(path);
  result.settings.emplace_back("dtypes", dtype_counts(*result.tensors));
  return result;
}

std::string dtype_counts(const TensorSource& tensors) {
  std::map<DType, int64_t> counts;
  for (const TensorEntry& entry : tensors.entries()) ++counts[entry.dtype];
  std::string text;
  for (const auto& [dtype, count] : counts) {
    text += (text.empty() ? "" : ", ") + std::to_string(count) + " " + dtype_name(dtype);
  }
  return text;
}

}  // namespace moxie::checkpoint
