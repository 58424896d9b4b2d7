#include "cli/windows.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "cli/failure.h"
#include "cli/tensors.h"
#include "cli/tokens.h"

namespace moxie::cli {
namespace {

std::string name_of(const std::string& path) { return std::filesystem::path(path).stem().string(); }

std::string read_text(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::string text{std::istreambuf_iterator<char>(file), {}};
  if (!file.is_open() || file.bad() || std::filesystem::is_directory(path)) {
    throw Failure(path + ": cannot be read as a text file");
  }
  return text;
}

// The file is encoded as a whole; what is left behind the last whole window is not used.
Windows windows_of_text(const std::string& path, const Tokenizer& tokenizer, int32_t bos) {
  const auto tokens = tokenizer.encode(read_text(path));
  Windows windows{name_of(path), {}};
  const size_t taken = static_cast<size_t>(kWindowTokens) - (bos >= 0 ? 1 : 0);
  for (size_t at = 0; at + taken <= tokens.size(); at += taken) {
    std::vector<int32_t> row;
    if (bos >= 0) row.push_back(bos);
    row.insert(row.end(), tokens.begin() + static_cast<int64_t>(at), tokens.begin() + static_cast<int64_t>(at + taken));
    windows.rows.push_back(std::move(row));
  }
  if (windows.rows.empty()) {
    throw Failure(path + ": has " + std::to_string(tokens.size()) + " tokens, and a window takes " +
                  std::to_string(taken));
  }
  return windows;
}

Windows windows_of_tensor(const std::string& path) {
  const TensorFile file(path);
  if (!file.has("windows")) throw Failure(path + ": has no tensor 'windows'");
  const auto tensor = file.read("windows");
  if (tensor.shape.size() != 2 || tensor.shape[0] < 1 || tensor.shape[1] < 2) {
    throw Failure(path + ": tensor 'windows' has the shape " + shape_text(tensor.shape) +
                  ", expected [windows, tokens] with at least 2 tokens");
  }
  const auto tokens = tensor.integers();
  Windows windows{name_of(path), {}};
  for (auto row = tokens.begin(); row != tokens.end(); row += tensor.shape[1]) {
    auto& window = windows.rows.emplace_back();
    for (auto token = row; token != row + tensor.shape[1]; ++token) {
      if (*token < 0 || *token > INT32_MAX) {
        throw Failure(path + ": tensor 'windows' holds " + std::to_string(*token) + ", which is no token");
      }
      window.push_back(static_cast<int32_t>(*token));
    }
  }
  return windows;
}

void check(const Windows& windows, const mox_model_info& info) {
  for (const auto& row : windows.rows) {
    const auto largest = *std::max_element(row.begin(), row.end());
    if (largest >= info.vocabulary) {
      throw Failure(windows.name + ": holds the token " + std::to_string(largest) +
                    ", and the model's vocabulary has " + std::to_string(info.vocabulary));
    }
    if (info.max_positions > 0 && static_cast<int64_t>(row.size()) > info.max_positions) {
      throw Failure(windows.name + ": windows have " + std::to_string(row.size()) + " tokens, and the model has " +
                    std::to_string(info.max_positions) + " positions");
    }
  }
}

}  // namespace

void add_window_options(CLI::App& command, WindowOptions& options) {
  auto* text = command.add_option("--text", options.texts, "Text files, cut into windows of 256 tokens");
  text->type_name("FILE")->check(CLI::ExistingFile);
  auto* windows = command.add_option("--windows", options.windows,
                                     "Safetensors files with windows that are tokens already (tensor `windows`, "
                                     "[windows, tokens])");
  windows->type_name("FILE")->check(CLI::ExistingFile);
  command.add_option("--limit", options.limit, "Windows of each text to take (default: all)")
      ->check(CLI::PositiveNumber)
      ->type_name("N");
}

std::vector<Windows> read_windows(const WindowOptions& options, const ModelOptions& model, const mox_model_info& info) {
  if (options.texts.empty() && options.windows.empty()) throw UsageError("give --text FILE or --windows FILE");
  std::vector<Windows> all;
  if (!options.texts.empty()) {
    const auto tokenizer = open_tokenizer(model.folder);
    for (const auto& path : options.texts) all.push_back(windows_of_text(path, *tokenizer, info.bos_token));
  }
  for (const auto& path : options.windows) all.push_back(windows_of_tensor(path));
  for (auto& windows : all) {
    if (options.limit > 0 && static_cast<int64_t>(windows.rows.size()) > options.limit) {
      windows.rows.resize(static_cast<size_t>(options.limit));
    }
    check(windows, info);
  }
  return all;
}

}  // namespace moxie::cli
