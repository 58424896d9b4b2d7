// moxie bench adapters: what adapters cost over the plain base, few and many in one batch.
#include <algorithm>
#include <chrono>
#include <cstdio>

#include "cli/bench/commands.h"
#include "cli/bench/contenders.h"
#include "cli/bench/layer_options.h"
#include "cli/bench/made_up_adapters.h"
#include "cli/bench/report.h"
#include "cli/failure.h"
#include "cli/memory.h"
#include "cli/table.h"
#include "cli/terminal.h"

namespace moxie::cli::bench {
namespace {

struct AdaptersOptions {
  LayerOptions layer;
  AdapterShape adapter;
  std::string factors = "f32";
  std::vector<std::string> kinds = adapter_kind_names();
  std::vector<int64_t> counts{0, 1, 4, 16, 64};
};

using Ranges = std::vector<mox_range>;

// The rows in as many nearly equal ranges as there are adapters, each under its own; without any, one plain range.
Ranges ranges_over(const std::vector<Adapter>& adapters, int64_t count, int64_t tokens) {
  if (count == 0) return {{nullptr, 0, tokens}};
  Ranges ranges;
  for (int64_t i = 0; i < count; ++i) {
    ranges.push_back({adapters[static_cast<size_t>(i)].get(), tokens * i / count, tokens * (i + 1) / count});
  }
  return ranges;
}

struct Figures {
  Spread base, adapters;  // milliseconds
  size_t calls = 0;
  double over_base = 0;
  double over_one = 0;  // over the same batch under one adapter
};

// Base, one adapter and all of them take turns; each round gives one ratio of each.
Figures measure(Workload& workload, const FeedForward& feed_forward, const std::vector<Adapter>& adapters,
                int64_t count, int64_t tokens, double seconds) {
  const std::vector<Ranges> turns{ranges_over(adapters, 0, tokens), ranges_over(adapters, count, tokens),
                                  ranges_over(adapters, std::min<int64_t>(count, 1), tokens)};
  const size_t used = count > 1 ? 3 : 2;  // one adapter and none are what the first two are already
  std::vector<Samples> times(used);
  const auto run = [&](size_t turn, size_t round) { return workload.milliseconds(feed_forward, round, turns[turn]); };
  const auto spent = [](auto begin) {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  };
  auto begin = std::chrono::steady_clock::now();
  for (size_t round = 0; round < 2 || spent(begin) < kWarmUpPart * seconds; ++round) {
    for (size_t turn = 0; turn < used; ++turn) run(turn, round);
  }
  begin = std::chrono::steady_clock::now();
  for (size_t round = 0; round < kLeastRounds || spent(begin) < seconds; ++round) {
    for (size_t i = 0; i < used; ++i) {
      const size_t turn = round % 2 ? used - 1 - i : i;
      times[turn].push_back(run(turn, round));
    }
  }
  Figures figures;
  figures.base = spread_of(times[0]);
  figures.adapters = spread_of(times[1]);
  figures.calls = times[0].size();
  figures.over_base = median_ratio(times[1], times[0]);
  if (used == 3) figures.over_one = median_ratio(times[1], times[2]);
  return figures;
}

nlohmann::json adapter_json(const AdapterShape& shape) {
  return {{"rank", shape.rank},   {"experts", shape.experts},   {"top_k", shape.top_k},
          {"top_p", shape.top_p}, {"capacity", shape.capacity}, {"factors", mox_dtype_name(shape.factors)}};
}

int bench_adapters(AdaptersOptions options) {
  const FfnShape shape = options.layer.shape();
  if (shape.experts > 1) {
    throw UsageError("adapters are laid over dense feed-forwards, and this one has " + std::to_string(shape.experts) +
                     " experts; choose another --preset or --experts 1");
  }
  if (options.adapter.top_k > options.adapter.experts) {
    throw UsageError("--adapter-top-k " + std::to_string(options.adapter.top_k) + " of " +
                     std::to_string(options.adapter.experts) + " experts");
  }
  options.adapter.factors = options.factors == "bf16" ? MOX_BF16 : MOX_F32;
  const auto& common = options.layer.common;
  const int64_t most = options.layer.most_tokens();
  // Rows over an expert's capacity are not computed: none is to be.
  options.adapter.capacity = most;
  const int64_t most_adapters =
      std::clamp<int64_t>(*std::max_element(options.counts.begin(), options.counts.end()), 1, most);
  const int64_t factors = (most_adapters + 1) * adapter_bytes(shape, options.adapter);
  const int64_t weights = packing_bytes(shape, 1);
  const int64_t rows = batch_bytes(shape, most) * (1 + options.adapter.top_k);
  std::fprintf(stderr, "memory: %s of weights, about %s of adapters, about %s for %lld tokens\n",
               bytes_text(static_cast<double>(weights)).c_str(), bytes_text(static_cast<double>(factors)).c_str(),
               bytes_text(static_cast<double>(rows)).c_str(), static_cast<long long>(most));
  require_memory(weights + factors + rows, "this benchmark");

  const int64_t resident_before = resident_memory();
  std::vector<Contender> base;
  base.push_back(open_contender(common, "", "", shape));
  const auto& feed_forward = base.front().feed_forward;
  auto weights_held = weights_report(base, shape, resident_before);
  auto points = nlohmann::json::array();
  Table table({"kind", "kernel", "tokens", "adapters", "base ms", "ms", "min", "max", "rounds", "over base",
               "over one adapter", "bytes each"},
              2);
  Progress progress("adapters",
                    static_cast<int64_t>(options.kinds.size() * options.layer.tokens.size() * options.counts.size()));
  for (const auto& name : options.kinds) {
    const auto adapters = make_adapters(feed_forward, shape, adapter_kind_called(name), options.adapter,
                                        static_cast<size_t>(most_adapters));
    const int64_t bytes = describe<mox_adapter_info>(mox_adapter_describe, adapters.front()).bytes;
    for (const int64_t tokens : options.layer.tokens) {
      Workload workload(shape, tokens, feed_forward);
      for (const int64_t count : options.counts) {
        progress.advance(1);
        if (count > tokens) continue;  // a range has at least one row
        const auto figures = measure(workload, feed_forward, adapters, count, tokens, options.layer.seconds);
        table.add({name, base.front().kernel, std::to_string(tokens), std::to_string(count),
                   fixed(figures.base.median, 3), fixed(figures.adapters.median, 3), fixed(figures.adapters.min, 3),
                   fixed(figures.adapters.max, 3), std::to_string(figures.calls), fixed(figures.over_base, 3),
                   count > 1 ? fixed(figures.over_one, 3) : "",
                   bytes_text(count == 0 ? 0 : static_cast<double>(bytes))});
        points.push_back({{"kind", name},
                          {"kernel", base.front().kernel},
                          {"tokens", tokens},
                          {"adapters", count},
                          {"base_milliseconds", figures.base},
                          {"milliseconds", figures.adapters},
                          {"rounds", figures.calls},
                          {"over_base", figures.over_base},
                          {"over_one_adapter", count > 1 ? nlohmann::json(figures.over_one) : nlohmann::json()},
                          {"adapter_bytes", bytes}});
      }
    }
  }
  if (common.json) {
    print_json({{"machine", machine_json(base.front().runtime)},
                {"shape", shape_json(shape)},
                {"adapter", adapter_json(options.adapter)},
                {"weights", weights_held},
                {"resident_bytes", resident_memory()},
                {"points", points}});
    return kSuccess;
  }
  std::printf("%s\n%s; adapters of rank %d, %d experts, top-%d, %s\n%s\n\n%s",
              machine_text(base.front().runtime).c_str(), shape_text(shape).c_str(), options.adapter.rank,
              options.adapter.experts, options.adapter.top_k, mox_dtype_name(options.adapter.factors),
              weights_held.text().c_str(), table.text().c_str());
  return kSuccess;
}

}  // namespace

void add_adapters(CLI::App& bench, Run& run) {
  auto options = std::make_shared<AdaptersOptions>();
  auto* command = bench.add_subcommand("adapters", "What adapters cost over the plain base, few and many in one batch");
  add_layer_options(*command, options->layer, "llama-7b");
  command->add_option("--rank", options->adapter.rank, "Of the factors")
      ->check(CLI::Range(1, 4096))
      ->capture_default_str();
  command->add_option("--lora-experts", options->adapter.experts, "Experts of an adapter, where its kind has some")
      ->check(CLI::Range(1, 1024))
      ->capture_default_str();
  command->add_option("--adapter-top-k", options->adapter.top_k, "Experts of a token (mixlora, mola)")
      ->check(CLI::Range(1, 1024))
      ->capture_default_str();
  command->add_option("--factors", options->factors, "Type of their factors")
      ->check(CLI::IsMember({"f32", "bf16"}))
      ->capture_default_str();
  command->add_option("--kinds", options->kinds, "Kinds of adapters")
      ->delimiter(',')
      ->check(CLI::IsMember(adapter_kind_names()))
      ->capture_default_str();
  command->add_option("--counts", options->counts, "How many adapters share a batch, 0 for the base over itself")
      ->delimiter(',')
      ->check(CLI::Range(0, 65536))
      ->capture_default_str();
  command->footer(
      "The rows of a batch are in as many nearly equal ranges as there are adapters; more adapters than tokens are "
      "left\n"
      "out. Adapters lie on gate, up and down projection. Base, one adapter and all adapters take turns; \"over "
      "base\"\n"
      "and \"over one adapter\" are medians over the rounds. mixlora-dynamic takes experts up to a probability of "
      "0.75;\n"
      "mixlora-switch has capacity for every token.\n\n"
      "Examples:\n"
      "  moxie bench adapters --kinds lora,mixlora --tokens 1,512\n"
      "  moxie bench adapters --preset llama-8b --rank 64 --counts 1,64 --tokens 64 --json");
  command->callback([options, &run] { run = [options] { return bench_adapters(*options); }; });
}

}  // namespace moxie::cli::bench
