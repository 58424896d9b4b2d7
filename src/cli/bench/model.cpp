// moxie bench model: tokens per second of a whole model, alone and under adapters.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <filesystem>

#include "cli/bench/commands.h"
#include "cli/bench/contenders.h"
#include "cli/bench/layer_options.h"
#include "cli/bench/report.h"
#include "cli/failure.h"
#include "cli/loaded_model.h"
#include "cli/memory.h"
#include "cli/table.h"

namespace moxie::cli::bench {
namespace {

constexpr size_t kLeastPasses = 3;

struct BenchModelOptions {
  CommonOptions common;
  ModelOptions model;
  std::vector<int64_t> prompts{128};
  std::vector<int64_t> batches{1, 4, 16, 64};
  int64_t decode = 16;
  double seconds = 1;
};

// Milliseconds of one pass: all prompts in one step, then every sequence on by one token, `decode` times.
struct Pass {
  double prefill = 0;
  double decode = 0;
};

double milliseconds_of_step(const LoadedModel& loaded, const std::vector<mox_step>& steps) {
  const auto begin = std::chrono::steady_clock::now();
  call(mox_model_step, loaded.model.get(), steps.data(), steps.size(), nullptr);
  return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - begin).count();
}

class Passes {
 public:
  Passes(const LoadedModel& loaded, int64_t prompt, int64_t batch, int64_t decode)
      : loaded_(loaded), prompt_(prompt), batch_(batch), decode_(decode) {
    tokens_.resize(static_cast<size_t>(batch * (prompt + decode)));
    uint32_t state = 1;  // a full-period generator modulo 2^32 (Numerical Recipes): any tokens will do
    for (auto& token : tokens_) {
      state = state * 1664525U + 1013904223U;
      token = static_cast<int32_t>((state >> 8) % static_cast<uint32_t>(loaded.info.vocabulary));
    }
    logits_.resize(static_cast<size_t>(batch * loaded.info.vocabulary));
  }

  // Each sequence under its own adapter in turn, or all on the base.
  Pass run(bool with_adapters) {
    std::vector<Sequence> sequences;
    std::vector<mox_step> steps;
    for (int64_t i = 0; i < batch_; ++i) {
      sequences.push_back(make<Sequence>(mox_sequence_create, loaded_.model.get(), nullptr));
      const auto index = static_cast<size_t>(i);
      const mox_adapter* adapter =
          with_adapters ? loaded_.adapters[index % loaded_.adapters.size()].handle.get() : nullptr;
      steps.push_back({sequences.back().get(), adapter, &tokens_[index * static_cast<size_t>(prompt_ + decode_)],
                       prompt_, &logits_[index * static_cast<size_t>(loaded_.info.vocabulary)], 1, 0});
    }
    Pass pass;
    pass.prefill = milliseconds_of_step(loaded_, steps);
    for (auto& step : steps) step.tokens += prompt_;
    for (auto& step : steps) step.token_count = 1;
    for (int64_t i = 0; i < decode_; ++i) {
      pass.decode += milliseconds_of_step(loaded_, steps);
      for (auto& step : steps) ++step.tokens;
    }
    return pass;
  }

 private:
  const LoadedModel& loaded_;
  int64_t prompt_, batch_, decode_;
  std::vector<int32_t> tokens_;
  std::vector<float> logits_;
};

// Of the base, and of the adapters where there are any.
struct Measured {
  std::vector<Samples> prefill, decode;  // [variant][pass], milliseconds
};

Measured measure(const LoadedModel& loaded, const BenchModelOptions& options, int64_t prompt, int64_t batch) {
  Passes passes(loaded, prompt, batch, options.decode);
  const size_t variants = loaded.adapters.empty() ? 1 : 2;
  for (size_t variant = 0; variant < variants; ++variant) passes.run(variant == 1);  // the first are slow
  Measured measured{std::vector<Samples>(variants), std::vector<Samples>(variants)};
  double spent = 0;
  for (size_t pass = 0; pass < kLeastPasses || spent < options.seconds * 1e3; ++pass) {
    for (size_t i = 0; i < variants; ++i) {
      const size_t variant = pass % 2 ? variants - 1 - i : i;
      const Pass times = passes.run(variant == 1);
      measured.prefill[variant].push_back(times.prefill);
      measured.decode[variant].push_back(times.decode);
      spent += times.prefill + times.decode;
    }
  }
  return measured;
}

// Folders are called after their last part, numbered where that comes twice.
std::vector<std::string> named(const std::vector<std::string>& given) {
  std::vector<std::string> all, names;
  for (const auto& text : given) {
    if (text.find('=') != std::string::npos) {
      all.push_back(text);
      continue;
    }
    auto path = std::filesystem::path(text);
    if (!path.has_filename()) path = path.parent_path();
    const auto plain = path.filename().string();
    auto name = plain;
    for (int copy = 2; std::find(names.begin(), names.end(), name) != names.end(); ++copy) {
      name = plain + "-" + std::to_string(copy);
    }
    names.push_back(name);
    all.push_back(name);
    all.back().append("=").append(text);
  }
  return all;
}

int64_t expected_weight_bytes(const BenchModelOptions& options) {
  const auto file = make<File>(mox_file_open, options.model.folder.c_str());
  const auto info = describe<mox_file_info>(mox_file_describe, file);
  if (options.model.weights == "float32") return info.parameters * 4;
  if (options.model.weights == "bfloat16") return info.parameters * 2;
  return info.bytes;
}

int64_t sequence_bytes(const BenchModelOptions& options, const mox_model_info& info) {
  const int64_t longest = *std::max_element(options.prompts.begin(), options.prompts.end()) + options.decode;
  const int64_t most = *std::max_element(options.batches.begin(), options.batches.end());
  const int64_t values = 2 * int64_t{info.layers} * info.kv_heads * info.head_dim * longest + info.vocabulary +
                         longest * (4 * info.hidden + 2 * info.ffn * std::max(info.top_k, 1));
  return most * values * static_cast<int64_t>(sizeof(float));
}

void check_positions(const BenchModelOptions& options, const mox_model_info& info) {
  const int64_t longest = *std::max_element(options.prompts.begin(), options.prompts.end()) + options.decode;
  if (info.max_positions > 0 && longest > info.max_positions) {
    throw Failure("the longest prompt and --decode are " + std::to_string(longest) + " tokens, and the model has " +
                  std::to_string(info.max_positions) + " positions");
  }
}

nlohmann::json part_json(const Samples& times, double tokens) {
  const Spread spread = spread_of(times);
  return {{"milliseconds", spread}, {"tokens_per_second", tokens / spread.median * 1e3}};
}

int bench_model(BenchModelOptions options) {
  options.model.adapters = named(options.model.adapters);
  const int64_t expected = expected_weight_bytes(options);
  std::fprintf(stderr, "memory: about %s of weights\n", bytes_text(static_cast<double>(expected)).c_str());
  require_memory(expected, "this model");
  const int64_t resident_before = resident_memory();
  const auto loaded = load_model(options.common, options.model);
  const auto& info = loaded.info;
  const int64_t resident_loaded = resident_memory() - resident_before;
  check_positions(options, info);
  const int64_t sequences = sequence_bytes(options, info);
  std::fprintf(stderr, "memory: about %s for sequences and rows\n", bytes_text(static_cast<double>(sequences)).c_str());
  require_memory(sequences, "the largest batch");

  const auto kernel = kernel_of(loaded.runtime, info.weights);
  auto points = nlohmann::json::array();
  Table table({"run", "kernel", "prompt", "batch", "prefill ms", "tokens/s", "decode ms/step", "tokens/s",
               "prefill over base", "decode over base"},
              2);
  for (const int64_t prompt : options.prompts) {
    for (const int64_t batch : options.batches) {
      const auto measured = measure(loaded, options, prompt, batch);
      for (size_t variant = 0; variant < measured.prefill.size(); ++variant) {
        const auto& prefill = measured.prefill[variant];
        const auto& decode = measured.decode[variant];
        const auto prompt_tokens = static_cast<double>(prompt * batch);
        const auto decode_tokens = static_cast<double>(options.decode * batch);
        nlohmann::json point{{"adapters", variant == 0 ? 0 : loaded.adapters.size()},
                             {"kernel", kernel},
                             {"prompt", prompt},
                             {"batch", batch},
                             {"passes", prefill.size()},
                             {"prefill", part_json(prefill, prompt_tokens)},
                             {"decode", part_json(decode, decode_tokens)},
                             {"prefill_over_base", nullptr},
                             {"decode_over_base", nullptr}};
        if (variant > 0) {
          point["prefill_over_base"] = median_ratio(prefill, measured.prefill[0]);
          point["decode_over_base"] = median_ratio(decode, measured.decode[0]);
        }
        table.add({variant == 0 ? "base" : "adapters", kernel, std::to_string(prompt), std::to_string(batch),
                   fixed(median(prefill), 3), fixed(point["prefill"]["tokens_per_second"], 1),
                   fixed(median(decode) / static_cast<double>(options.decode), 3),
                   fixed(point["decode"]["tokens_per_second"], 1),
                   variant == 0 ? "" : fixed(point["prefill_over_base"], 3),
                   variant == 0 ? "" : fixed(point["decode_over_base"], 3)});
        points.push_back(std::move(point));
      }
    }
  }
  const int64_t resident = resident_memory() - resident_before;
  if (options.common.json) {
    auto adapters = nlohmann::json::array();
    for (const auto& adapter : loaded.adapters) {
      const auto held = describe<mox_adapter_info>(mox_adapter_describe, adapter.handle);
      adapters.push_back({{"name", adapter.name}, {"kind", mox_adapter_kind_name(held.kind)}, {"bytes", held.bytes}});
    }
    print_json({{"machine", machine_json(loaded.runtime)},
                {"model",
                 {{"path", options.model.folder},
                  {"family", info.family},
                  {"parameters", info.parameters},
                  {"weights", mox_dtype_name(info.weights)},
                  {"weight_bytes", info.weight_bytes}}},
                {"adapters", adapters},
                {"resident_bytes", {{"loaded", resident_loaded}, {"run", resident}}},
                {"decode_tokens", options.decode},
                {"points", points}});
    return kSuccess;
  }
  std::printf("%s\n%s, %s; weights %s, resident %s after loading, %s after running\n\n%s",
              machine_text(loaded.runtime).c_str(), options.model.folder.c_str(), mox_dtype_name(info.weights),
              bytes_text(static_cast<double>(info.weight_bytes)).c_str(),
              bytes_text(static_cast<double>(resident_loaded)).c_str(),
              bytes_text(static_cast<double>(resident)).c_str(), table.text().c_str());
  return kSuccess;
}

}  // namespace

void add_model(CLI::App& bench, Run& run) {
  auto options = std::make_shared<BenchModelOptions>();
  auto* command = bench.add_subcommand("model", "Tokens per second of a whole model, alone and under adapters");
  command->add_option("DIR", options->model.folder, "The model's folder")->required()->type_name("");
  command->add_option("--adapter", options->model.adapters, "An adapter's folder; repeat it for more")
      ->type_name("[NAME=]DIR")
      ->allow_extra_args(false);
  add_weights_option(*command, options->model.weights);
  add_storage_option(*command, options->model.storage);
  command->add_option("--prompt", options->prompts, "Lengths of the prompts, in tokens")
      ->delimiter(',')
      ->check(CLI::Range(1, 1 << 20))
      ->capture_default_str();
  command->add_option("--batch", options->batches, "Sequences at once")
      ->delimiter(',')
      ->check(CLI::Range(1, 1 << 16))
      ->capture_default_str();
  command->add_option("--decode", options->decode, "Tokens each sequence is continued by")
      ->check(CLI::Range(1, 1 << 20))
      ->capture_default_str();
  add_seconds_option(*command, options->seconds, "How long to measure each row at least");
  add_json_option(*command, options->common);
  add_common_options(*command, options->common);
  command->footer(
      "All sequences of a batch have prompts of the same length and start together: their prompts are one step\n"
      "(prefill), and each further step adds a token to all of them (decode). With adapters, base and adapters take\n"
      "turns pass by pass, sequence i runs under adapter i modulo their number, and \"over base\" is the median over\n"
      "the pairs of passes. Tokens are made up, and no token is sampled.\n\n"
      "Examples:\n"
      "  moxie bench model tiny-llama\n"
      "  moxie bench model tiny-llama --adapter kjv-mixlora --adapter jargon-lora --prompt 64,256 --batch 1,16 --json");
  command->callback([options, &run] { run = [options] { return bench_model(*options); }; });
}

}  // namespace moxie::cli::bench
