// moxie generate: continues prompts, each under its own adapter, all in one batch.
#include <chrono>
#include <nlohmann/json.hpp>
#include <optional>

#include "cli/commands.h"
#include "cli/failure.h"
#include "cli/loaded_model.h"
#include "cli/table.h"
#include "cli/terminal.h"
#include "cli/tokens.h"

namespace moxie::cli {
namespace {

struct GenerateOptions {
  CommonOptions common;
  ModelOptions model;
  std::vector<std::string> prompts;
  int64_t max_tokens = 64;
  float temperature = 0;
  int32_t top_k = 0;
  float top_p = 1;
  uint64_t seed = 0;
  std::string kv;
};

// One prompt and what became of it.
struct Prompt {
  std::string adapter;  // "": the base
  std::string text;
  const mox_adapter* handle = nullptr;
  Sequence sequence;
  Sampler sampler;
  std::vector<int32_t> given;  // the beginning-of-sequence token included
  std::vector<int32_t> tokens;
  std::string finish;  // "": still running
};

struct Speed {
  int64_t tokens = 0;
  double seconds = 0;

  std::string text() const {
    return std::to_string(tokens) + " tokens" +
           (seconds > 0 ? ", " + fixed(static_cast<double>(tokens) / seconds, 1) + " tokens per second" : "");
  }
};

// "NAME:TEXT" where NAME is "base" or an adapter's, else a text for the base.
Prompt parse(const std::string& given, const LoadedModel& loaded) {
  Prompt prompt;
  prompt.text = given;
  const auto colon = given.find(':');
  if (colon == std::string::npos) return prompt;
  const auto name = given.substr(0, colon);
  const auto* adapter = loaded.find(name);
  if (!adapter && name != "base") return prompt;
  prompt.text = given.substr(colon + 1);
  if (adapter) {
    prompt.adapter = name;
    prompt.handle = adapter->handle.get();
  }
  return prompt;
}

class Generation {
 public:
  Generation(const GenerateOptions& options, const LoadedModel& loaded, const Tokenizer& tokenizer)
      : options_(options), loaded_(loaded), tokenizer_(tokenizer) {
    for (size_t i = 0; i < options.prompts.size(); ++i) {
      prompts_.push_back(parse(options.prompts[i], loaded));
      prepare(prompts_.back(), i);
    }
  }

  // Calls `moved` after each step.
  template <typename Moved>
  void run(Moved moved) {
    while (true) {
      std::vector<Prompt*> running;
      for (auto& prompt : prompts_) {
        if (prompt.finish.empty()) running.push_back(&prompt);
      }
      if (running.empty()) break;
      step(running);
      moved();
    }
  }

  const std::vector<Prompt>& prompts() const { return prompts_; }
  const Speed& prefill() const { return prefill_; }
  const Speed& decode() const { return decode_; }

  // The prompt and its continuation.
  std::string text(const Prompt& prompt) const {
    std::vector<int32_t> tokens(prompt.given.begin() + (loaded_.info.bos_token >= 0 ? 1 : 0), prompt.given.end());
    tokens.insert(tokens.end(), prompt.tokens.begin(), prompt.tokens.end());
    return tokenizer_.decode(tokens);
  }

 private:
  void prepare(Prompt& prompt, size_t index) {
    if (loaded_.info.bos_token >= 0) prompt.given.push_back(loaded_.info.bos_token);
    const auto tokens = tokenizer_.encode(prompt.text);
    prompt.given.insert(prompt.given.end(), tokens.begin(), tokens.end());
    if (prompt.given.empty()) throw Failure("the prompt '" + prompt.text + "' has no tokens");
    const auto length = static_cast<int64_t>(prompt.given.size());
    if (loaded_.info.max_positions > 0 && length > loaded_.info.max_positions) {
      throw Failure("a prompt has " + std::to_string(length) + " tokens, and the model has " +
                    std::to_string(loaded_.info.max_positions) + " positions");
    }
    prompt.sequence = make_sequence(loaded_, options_.kv);
    auto sampler = defaults(mox_sampler_options_init);
    sampler.temperature = options_.temperature;
    sampler.top_k = options_.top_k;
    sampler.top_p = options_.top_p;
    sampler.seed = options_.seed + index;  // equal prompts are to differ
    prompt.sampler = make<Sampler>(mox_sampler_create, &sampler);
  }

  void step(const std::vector<Prompt*>& running) {
    const auto vocabulary = static_cast<size_t>(loaded_.info.vocabulary);
    logits_.resize(running.size() * vocabulary);
    std::vector<mox_step> steps;
    const bool first = running.front()->tokens.empty();  // all prompts start in the same step
    int64_t tokens = 0;
    for (auto* prompt : running) {
      const auto& next = first ? prompt->given : prompt->tokens;
      const size_t count = first ? next.size() : 1;
      steps.push_back({prompt->sequence.get(), prompt->handle, next.data() + next.size() - count,
                       static_cast<int64_t>(count), logits_.data() + steps.size() * vocabulary, 1, 0});
      tokens += static_cast<int64_t>(count);
    }
    const auto begin = std::chrono::steady_clock::now();
    call(mox_model_step, loaded_.model.get(), steps.data(), steps.size(), nullptr);
    auto& speed = first ? prefill_ : decode_;
    speed.seconds += std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
    speed.tokens += tokens;
    for (size_t i = 0; i < running.size(); ++i) choose(*running[i], steps[i].logits);
  }

  void choose(Prompt& prompt, const float* logits) {
    int32_t token = 0;
    call(mox_sampler_next, prompt.sampler.get(), logits, loaded_.info.vocabulary, &token);
    if (token == loaded_.info.eos_token) {
      prompt.finish = "end of sequence";
      return;
    }
    prompt.tokens.push_back(token);
    const auto length = static_cast<int64_t>(prompt.given.size() + prompt.tokens.size());
    if (static_cast<int64_t>(prompt.tokens.size()) >= options_.max_tokens) {
      prompt.finish = "max tokens";
    } else if (loaded_.info.max_positions > 0 && length > loaded_.info.max_positions) {
      prompt.finish = "max positions";
    }
  }

  const GenerateOptions& options_;
  const LoadedModel& loaded_;
  const Tokenizer& tokenizer_;
  std::vector<Prompt> prompts_;
  std::vector<float> logits_;
  Speed prefill_, decode_;
};

// Prints the one prompt as it grows. Bytes of an unfinished character decode to U+FFFD: those are held back.
class Stream {
 public:
  void show(const std::string& text, bool finished) {
    static const std::string unfinished = "\xEF\xBF\xBD";
    size_t end = text.size();
    while (!finished && end >= unfinished.size() &&
           text.compare(end - unfinished.size(), unfinished.size(), unfinished) == 0) {
      end -= unfinished.size();
    }
    if (end > shown_) {
      std::fwrite(text.data() + shown_, 1, end - shown_, stdout);
      std::fflush(stdout);
      shown_ = end;
    }
    if (finished) std::fputs("\n", stdout);
  }

 private:
  size_t shown_ = 0;
};

// Prints each prompt as a block of its own when it has finished.
class Blocks {
 public:
  void show(const Generation& generation) {
    printed_.resize(generation.prompts().size());
    for (size_t i = 0; i < printed_.size(); ++i) {
      const auto& prompt = generation.prompts()[i];
      if (printed_[i] || prompt.finish.empty()) continue;
      printed_[i] = true;
      const auto heading = "[" + std::to_string(i + 1) + "] " + (prompt.adapter.empty() ? "base" : prompt.adapter);
      std::printf("%s\n%s\n\n", bold(heading, colours(stdout)).c_str(), generation.text(prompt).c_str());
      std::fflush(stdout);
    }
  }

 private:
  std::vector<bool> printed_;
};

nlohmann::json as_json(const Generation& generation) {
  auto list = nlohmann::json::array();
  for (const auto& prompt : generation.prompts()) {
    list.push_back({{"adapter", prompt.adapter.empty() ? nlohmann::json() : nlohmann::json(prompt.adapter)},
                    {"prompt", prompt.text},
                    {"prompt_tokens", prompt.given},
                    {"tokens", prompt.tokens},
                    {"text", generation.text(prompt)},
                    {"finish", prompt.finish}});
  }
  return list;
}

int generate(const GenerateOptions& options) {
  if (options.prompts.empty()) throw UsageError("give --prompt [NAME:]TEXT");
  const auto tokenizer = open_tokenizer(options.model.folder);
  const auto loaded = load_model(options.common, options.model);
  Generation generation(options, loaded, *tokenizer);
  if (options.common.json) {
    generation.run([] {});
    // A tokenizer's text can hold what is no UTF-8 where bytes were cut off.
    std::puts(as_json(generation).dump(2, ' ', false, nlohmann::json::error_handler_t::replace).c_str());
  } else if (generation.prompts().size() == 1) {
    Stream stream;
    const auto& prompt = generation.prompts().front();
    generation.run([&] { stream.show(generation.text(prompt), !prompt.finish.empty()); });
  } else {
    Blocks blocks;
    generation.run([&] { blocks.show(generation); });
  }
  std::fprintf(stderr, "prefill: %s\ndecode: %s\n", generation.prefill().text().c_str(),
               generation.decode().text().c_str());
  return kSuccess;
}

}  // namespace

void add_generate(CLI::App& application, Run& run) {
  auto options = std::make_shared<GenerateOptions>();
  auto* command = application.add_subcommand("generate", "Continue prompts, each under its own adapter, in one batch");
  add_model_options(*command, options->model);
  command->add_option("--prompt", options->prompts, "Texts to continue, each under the adapter it names")
      ->type_name("[NAME:]TEXT...")
      ->allow_extra_args(false);
  // Texts behind the first are no part of the option: where one takes several values at once, CLI11 takes a text in
  // brackets for a list.
  command->allow_extras();
  command->add_option("--max-tokens", options->max_tokens, "Tokens to add at most")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  command->add_option("--temperature", options->temperature, "0: the likeliest token; above: how freely to choose")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  command->add_option("--top-k", options->top_k, "Choose among the k likeliest; 0: all")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  command->add_option("--top-p", options->top_p, "Choose among the likeliest that reach the probability p; 1: all")
      ->check(CLI::Range(0.0, 1.0))
      ->capture_default_str();
  command->add_option("--seed", options->seed, "Of the random choices; prompt i has seed + i")->capture_default_str();
  add_kv_option(*command, options->kv);
  add_json_option(*command, options->common);
  add_common_options(*command, options->common);
  command->footer(
      "NAME is one given with --adapter, or \"base\". A text whose part before the first colon is neither is taken as\n"
      "it is, for the base; write \"base:TEXT\" where a text for the base begins with an adapter's name and a "
      "colon.\n\n"
      "Examples:\n"
      "  moxie generate --model tiny-llama --prompt \"My fellow Americans, tonight\"\n"
      "  moxie generate --model tiny-llama --adapter kjv=kjv-mixlora --adapter moby=melville-loramoe \\\n"
      "      --prompt \"kjv:And it came to pass\" --prompt \"moby:Captain Ahab stood\" --prompt \"base:A hacker is\"");
  command->callback([options, command, &run] {
    for (const auto& text : command->remaining()) {
      if (text.rfind('-', 0) == 0) throw CLI::ExtrasError(std::vector<std::string>{text});
      options->prompts.push_back(text);
    }
    run = [options] { return generate(*options); };
  });
}

}  // namespace moxie::cli
