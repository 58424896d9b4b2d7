// moxie perplexity: how well a model and its adapters predict texts.
#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <thread>

#include "cli/commands.h"
#include "cli/failure.h"
#include "cli/loaded_model.h"
#include "cli/table.h"
#include "cli/terminal.h"
#include "cli/windows.h"

namespace moxie::cli {
namespace {

constexpr int64_t kRowsPerCall = 4096;                      // enough to keep the large kernels busy
constexpr int64_t kLogitBytesPerCall = int64_t{256} << 20;  // what the logits of one call may take

struct PerplexityOptions {
  CommonOptions common;
  ModelOptions model;
  WindowOptions windows;
  std::string kv;
};

// -ln softmax(logits)[token]
double surprise(const float* logits, int64_t vocabulary, int32_t token) {
  const float largest = *std::max_element(logits, logits + vocabulary);
  double sum = 0;
  for (int64_t i = 0; i < vocabulary; ++i) sum += std::exp(logits[i] - largest);
  return std::log(sum) + largest - logits[token];
}

// Everything runs in one call: for each window one sequence under each adapter.
class Scorer {
 public:
  Scorer(const LoadedModel& loaded, const std::string& kv, size_t window_tokens)
      : loaded_(loaded), kv_(kv), predictions_(window_tokens - 1) {
    handles_.push_back(nullptr);
    for (const auto& adapter : loaded.adapters) handles_.push_back(adapter.handle.get());
    const auto rows = static_cast<int64_t>(handles_.size() * predictions_);
    const int64_t bytes = rows * loaded.info.vocabulary * static_cast<int64_t>(sizeof(float));
    windows_per_call_ =
        static_cast<size_t>(std::max<int64_t>(1, std::min(kRowsPerCall / rows, kLogitBytesPerCall / bytes)));
    sums_.resize(handles_.size());
  }

  size_t windows_per_call() const { return windows_per_call_; }

  void add(const std::vector<int32_t>* windows, size_t count) {
    const auto vocabulary = static_cast<size_t>(loaded_.info.vocabulary);
    const size_t block = predictions_ * vocabulary;
    logits_.resize(count * handles_.size() * block);
    std::vector<Sequence> sequences;
    std::vector<mox_step> steps;
    for (size_t window = 0; window < count; ++window) {
      for (const auto* adapter : handles_) {
        sequences.push_back(make_sequence(loaded_, kv_));
        const auto rows = static_cast<int64_t>(predictions_);  // the last token predicts nothing
        steps.push_back({sequences.back().get(), adapter, windows[window].data(), rows,
                         logits_.data() + steps.size() * block, rows, 0});
      }
    }
    call(mox_model_step, loaded_.model.get(), steps.data(), steps.size(), nullptr);

    std::vector<double> sums(steps.size());
    const auto score = [&](size_t step) {
      const int32_t* tokens = windows[step / handles_.size()].data();
      for (size_t row = 0; row < predictions_; ++row) {
        sums[step] += surprise(steps[step].logits + row * vocabulary, loaded_.info.vocabulary, tokens[row + 1]);
      }
    };
    const size_t threads =
        static_cast<size_t>(describe<mox_runtime_info>(mox_runtime_describe, loaded_.runtime).threads);
    std::vector<std::jthread> team;
    for (size_t thread = 0; thread < std::min(threads, steps.size()); ++thread) {
      team.emplace_back([&, thread] {
        for (size_t step = thread; step < steps.size(); step += threads) score(step);
      });
    }
    team.clear();  // joins
    for (size_t step = 0; step < steps.size(); ++step) sums_[step % handles_.size()] += sums[step];
    scored_ += count * predictions_;
  }

  // One for each adapter, the base first.
  std::vector<double> perplexities() const {
    std::vector<double> values;
    for (double sum : sums_) values.push_back(std::exp(sum / static_cast<double>(scored_)));
    return values;
  }

 private:
  const LoadedModel& loaded_;
  const std::string& kv_;
  size_t predictions_;
  size_t windows_per_call_ = 1;
  size_t scored_ = 0;
  std::vector<const mox_adapter*> handles_;
  std::vector<double> sums_;
  std::vector<float> logits_;
};

std::vector<double> measure(const LoadedModel& loaded, const std::string& kv, const Windows& windows) {
  Scorer scorer(loaded, kv, windows.rows.front().size());
  Progress progress(windows.name, static_cast<int64_t>(windows.rows.size()));
  for (size_t at = 0; at < windows.rows.size(); at += scorer.windows_per_call()) {
    const size_t count = std::min(scorer.windows_per_call(), windows.rows.size() - at);
    scorer.add(&windows.rows[at], count);
    progress.advance(static_cast<int64_t>(count));
  }
  return scorer.perplexities();
}

int perplexity(const PerplexityOptions& options) {
  const auto loaded = load_model(options.common, options.model);
  const auto texts = read_windows(options.windows, options.model, loaded.info);
  std::vector<std::vector<double>> columns;
  for (const auto& text : texts) columns.push_back(measure(loaded, options.kv, text));

  auto json = nlohmann::json::array();
  std::vector<std::string> heading{"perplexity"};
  for (const auto& text : texts) heading.push_back(text.name);
  Table table(heading, 1);
  for (size_t row = 0; row <= loaded.adapters.size(); ++row) {
    std::vector<std::string> cells{row == 0 ? "base" : loaded.adapters[row - 1].name};
    for (size_t column = 0; column < texts.size(); ++column) {
      cells.push_back(fixed(columns[column][row], 2));
      json.push_back({{"adapter", row == 0 ? nlohmann::json() : nlohmann::json(loaded.adapters[row - 1].name)},
                      {"text", texts[column].name},
                      {"windows", texts[column].rows.size()},
                      {"perplexity", columns[column][row]}});
    }
    table.add(std::move(cells));
  }
  std::fputs(options.common.json ? (json.dump(2) + "\n").c_str() : table.text().c_str(), stdout);
  return kSuccess;
}

}  // namespace

void add_perplexity(CLI::App& application, Run& run) {
  auto options = std::make_shared<PerplexityOptions>();
  auto* command = application.add_subcommand("perplexity", "Measure how well a model and its adapters predict texts");
  add_model_options(*command, options->model);
  add_window_options(*command, options->windows);
  add_kv_option(*command, options->kv);
  add_json_option(*command, options->common);
  add_common_options(*command, options->common);
  command->footer(
      "Texts are cut into windows of 256 tokens, the first the beginning-of-sequence token; each window is a sequence\n"
      "of its own. All adapters of a text run in one batch with the base.\n\n"
      "Examples:\n"
      "  moxie perplexity --model tiny-llama --text kjv.txt sotu.txt\n"
      "  moxie perplexity --model tiny-llama --adapter kjv=kjv-mixlora --windows heldout/kjv.safetensors");
  command->callback([options, &run] { run = [options] { return perplexity(*options); }; });
}

}  // namespace moxie::cli
