// Rows of tokens that texts are measured in.
#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <string>
#include <vector>

#include "cli/loaded_model.h"

namespace moxie::cli {

// Tokens of a window, the beginning-of-sequence token included where the model has one.
constexpr int64_t kWindowTokens = 256;

struct WindowOptions {
  std::vector<std::string> texts;    // text files
  std::vector<std::string> windows;  // safetensors files
  int64_t limit = 0;                 // windows of each text; 0: all
};

// --text, --windows and --limit.
void add_window_options(CLI::App& command, WindowOptions& options);

struct Windows {
  std::string name;  // the file's name without its ending
  std::vector<std::vector<int32_t>> rows;
};

// In the order of the options, texts first. Tokens are checked against the vocabulary.
std::vector<Windows> read_windows(const WindowOptions& options, const ModelOptions& model, const mox_model_info& info);

}  // namespace moxie::cli
