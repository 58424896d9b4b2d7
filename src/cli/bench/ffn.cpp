// moxie bench ffn: one feed-forward against the limits of the machine.
#include <cstdio>

#include "cli/bench/commands.h"
#include "cli/bench/contenders.h"
#include "cli/bench/layer_options.h"
#include "cli/bench/report.h"
#include "cli/failure.h"
#include "cli/memory.h"
#include "cli/table.h"

namespace moxie::cli::bench {
namespace {

struct FfnOptions {
  LayerOptions layer;
  int64_t mebibytes = 0;  // to read for the limits; 0: the default
  std::string versus;
};

int bench_ffn(const FfnOptions& options) {
  const FfnShape shape = options.layer.shape();
  const auto& common = options.layer.common;
  if (!options.versus.empty()) backend_called(options.versus);
  const int64_t most = options.layer.most_tokens();
  state_memory(packing_bytes(shape, options.versus.empty() ? 1 : 2), batch_bytes(shape, most),
               read_bytes(options.mebibytes), std::to_string(most) + " tokens");
  auto silent = common;
  silent.verbose = false;  // the contenders print what there is
  const auto runtime = open_runtime(silent);
  const auto info = describe<mox_runtime_info>(mox_runtime_describe, runtime);
  LimitProbe probe(info.threads, info.isa, read_bytes(options.mebibytes));
  const int64_t resident_before = resident_memory();
  std::vector<Contender> contenders;
  contenders.push_back(open_contender(common, "", "", shape));
  if (!options.versus.empty()) contenders.push_back(open_contender(common, options.versus, "", shape));

  auto points = nlohmann::json::array();
  Table table({"tokens", "kernel", "median ms", "min", "max", "calls", "GFLOP/s", "GB/s", "of arithmetic",
               "of bandwidth", "of roofline", "times as long"},
              2);
  for (const int64_t tokens : options.layer.tokens) {
    const auto rounds = measure_rounds(contenders, shape, tokens, options.layer.seconds, probe);
    for (size_t i = 0; i < contenders.size(); ++i) {
      const auto figures = figures_of(rounds.calls[i], rounds.operations);
      const double ratio = rounds.ratio(i, 0);
      table.add({std::to_string(tokens), contenders[i].kernel, fixed(figures.milliseconds.median, 3),
                 fixed(figures.milliseconds.min, 3), fixed(figures.milliseconds.max, 3), std::to_string(figures.calls),
                 fixed(figures.gflops, 1), fixed(figures.weight_gbs, 2), percent(figures.of_limits.arithmetic),
                 percent(figures.of_limits.bandwidth), percent(figures.of_limits.roofline),
                 i == 0 ? "" : fixed(ratio, 2)});
      auto point = as_json(figures, contenders[i]);
      point["tokens"] = tokens;
      point["experts_used"] = rounds.experts_used;
      point["rotation"] = rotation_json(rounds);
      point["times_as_long"] = i == 0 ? nlohmann::json() : nlohmann::json(ratio);
      points.push_back(std::move(point));
    }
  }
  const auto weights = weights_report(contenders, shape, resident_before);
  if (common.json) {
    print_json({{"machine", machine_json(runtime)},
                {"shape", shape_json(shape)},
                {"weights", weights},
                {"read_limit", probe.pattern().text()},
                {"points", points}});
    return kSuccess;
  }
  std::printf("%s\n%s\n%s\nlimits: %s; reading by %s\n\n%s", machine_text(runtime).c_str(), shape_text(shape).c_str(),
              weights.text().c_str(), contenders.front().limit->name, probe.pattern().text().c_str(),
              table.text().c_str());
  return kSuccess;
}

}  // namespace

void add_ffn(CLI::App& bench, Run& run) {
  auto options = std::make_shared<FfnOptions>();
  auto* command = bench.add_subcommand("ffn", "One feed-forward with made-up weights, against the machine's limits");
  add_layer_options(*command, options->layer, "mixtral-8x7b");
  add_read_option(*command, options->mebibytes);
  command->add_option("--versus", options->versus, "Another backend to measure in turns; needs the weights twice")
      ->type_name("BACKEND");
  command->footer(
      "GB/s counts the weights of the experts that were used. Each call stands between two short measurements of what\n"
      "the machine can do at that moment: products in registers by the kernel's instruction set, and reads of memory\n"
      "larger than the caches; \"of arithmetic\" and \"of bandwidth\" divide by them, \"of roofline\" by the nearer "
      "of\n"
      "the two. Backends other than native are held against the best of --isa. Batches rotate, so that weights come\n"
      "from memory; a short call follows right behind an untimed one. All figures are medians over the calls; \"times\n"
      "as long\" is the median over pairs of calls.\n\n"
      "Examples:\n"
      "  moxie bench ffn --preset mixtral-8x7b\n"
      "  moxie bench ffn --preset qwen3-30b-a3b --versus onednn --tokens 1,512 --json\n"
      "  moxie bench ffn --hidden 2048 --ffn 768 --experts 128 --top-k 8 --weights f32 --threads 1");
  command->callback([options, &run] { run = [options] { return bench_ffn(*options); }; });
}

}  // namespace moxie::cli::bench
