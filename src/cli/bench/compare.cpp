// moxie bench compare: backends and instruction sets against each other on one layer.
#include <algorithm>
#include <cstdio>
#include <set>

#include "cli/bench/commands.h"
#include "cli/bench/contenders.h"
#include "cli/bench/layer_options.h"
#include "cli/bench/report.h"
#include "cli/failure.h"
#include "cli/memory.h"
#include "cli/table.h"

namespace moxie::cli::bench {
namespace {

struct CompareOptions {
  LayerOptions layer;
  int64_t mebibytes = 0;                // to read for the limits; 0: the default
  std::vector<std::string> contenders;  // BACKEND, BACKEND:ISA, BACKEND:STORAGE or BACKEND:ISA:STORAGE
};

struct Asked {
  std::string backend, isa, storage;
};

Asked parse(const std::string& text) {
  std::vector<std::string> parts{""};
  for (const char c : text) {
    if (c == ':') {
      parts.emplace_back();
    } else {
      parts.back() += c;
    }
  }
  if (parts.size() > 3) throw UsageError("--contenders: '" + text + "'; expected BACKEND[:ISA][:STORAGE]");
  Asked asked{parts.front(), "", ""};
  backend_called(asked.backend);
  if (parts.size() > 1 && std::ranges::find(storage_names(), parts.back()) != storage_names().end()) {
    asked.storage = parts.back();
    parts.pop_back();
  }
  if (parts.size() == 3) throw UsageError("--contenders: '" + text + "' ends with no storage");
  if (parts.size() == 2) {
    asked.isa = parts.back();
    isa_called(asked.isa);
  }
  return asked;
}

// Every backend that works here but the reference, which is thousands of times as slow.
std::vector<Asked> usable_backends(const CommonOptions& common) {
  std::vector<Asked> usable;
  auto silent = common;
  silent.verbose = false;
  for (int backend = MOX_BACKEND_NATIVE; backend < MOX_BACKEND_REFERENCE; ++backend) {
    const std::string name = mox_backend_name(mox_backend(backend));
    try {
      open_runtime(silent, name);
      usable.push_back({name, "", ""});
    } catch (const Refused& refused) {
      if (refused.status() != MOX_UNSUPPORTED) throw;
      std::fprintf(stderr, "without %s: %s\n", name.c_str(), refused.what());
    }
  }
  return usable;
}

std::vector<Asked> asked_of(const CompareOptions& options) {
  if (options.contenders.empty()) return usable_backends(options.layer.common);
  std::vector<Asked> asked;
  std::set<std::string> seen;
  for (const auto& text : options.contenders) {
    if (!seen.insert(text).second) throw UsageError("--contenders: '" + text + "' was given twice");
    asked.push_back(parse(text));
  }
  return asked;
}

int bench_compare(const CompareOptions& options) {
  const FfnShape shape = options.layer.shape();
  const auto asked = asked_of(options);
  if (asked.size() < 2) throw UsageError("--contenders: it takes two to compare");
  const auto& common = options.layer.common;
  const int64_t most = options.layer.most_tokens();
  state_memory(packing_bytes(shape, static_cast<int64_t>(asked.size())), batch_bytes(shape, most),
               read_bytes(options.mebibytes), std::to_string(most) + " tokens");
  auto silent = common;
  silent.verbose = false;
  const auto runtime = open_runtime(silent, "native");
  const auto info = describe<mox_runtime_info>(mox_runtime_describe, runtime);
  LimitProbe probe(info.threads, info.isa, read_bytes(options.mebibytes));
  const int64_t resident_before = resident_memory();
  std::vector<Contender> contenders;
  for (const auto& [backend, isa, storage] : asked) {
    FfnShape own = shape;
    if (!storage.empty()) own.storage = storage_called(storage);
    contenders.push_back(open_contender(common, backend, isa, own));
    if (!storage.empty()) contenders.back().name += ":" + storage;
  }

  auto points = nlohmann::json::array();
  std::vector<std::string> heading{"tokens", "contender", "kernel", "median ms",  "min",
                                   "max",    "GFLOP/s",   "GB/s",   "of roofline"};
  for (const auto& contender : contenders) heading.push_back("over " + contender.name);
  Table table(heading, 3);
  for (const int64_t tokens : options.layer.tokens) {
    const auto rounds = measure_rounds(contenders, shape, tokens, options.layer.seconds, probe);
    for (size_t i = 0; i < contenders.size(); ++i) {
      const auto figures = figures_of(rounds.calls[i], rounds.operations);
      auto point = as_json(figures, contenders[i]);
      std::vector<std::string> cells{std::to_string(tokens),
                                     contenders[i].name,
                                     contenders[i].kernel,
                                     fixed(figures.milliseconds.median, 3),
                                     fixed(figures.milliseconds.min, 3),
                                     fixed(figures.milliseconds.max, 3),
                                     fixed(figures.gflops, 1),
                                     fixed(figures.weight_gbs, 2),
                                     percent(figures.of_limits.roofline)};
      point["times_as_long_as"] = nlohmann::json::object();
      for (size_t j = 0; j < contenders.size(); ++j) {
        const double ratio = rounds.ratio(i, j);
        cells.push_back(i == j ? "" : fixed(ratio, 2));
        if (i != j) point["times_as_long_as"][contenders[j].name] = ratio;
      }
      table.add(std::move(cells));
      point["tokens"] = tokens;
      point["experts_used"] = rounds.experts_used;
      point["rotation"] = rotation_json(rounds);
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
  std::printf("%s\n%s\n%s\n\n%s", machine_text(runtime).c_str(), shape_text(shape).c_str(), weights.text().c_str(),
              table.text().c_str());
  return kSuccess;
}

}  // namespace

void add_compare(CLI::App& bench, Run& run) {
  auto options = std::make_shared<CompareOptions>();
  auto* command = bench.add_subcommand("compare", "Backends and instruction sets against each other on one layer");
  command
      ->add_option("--contenders", options->contenders,
                   "Who takes part (default: every backend usable here but the reference)")
      ->delimiter(',')
      ->type_name("BACKEND[:ISA][:STORAGE],...");
  add_layer_options(*command, options->layer, "mixtral-8x7b");
  add_read_option(*command, options->mebibytes);
  command->footer(
      "All contenders take turns, call by call. \"over NAME\" is how many times as long as NAME's a call takes: the\n"
      "median over the rounds. Each contender holds its own copy of the weights. The other columns are those of\n"
      "'moxie bench ffn'. oneDNN keeps the instruction set of its first use, so it can take part once.\n\n"
      "Examples:\n"
      "  moxie bench compare --preset qwen3-30b-a3b\n"
      "  moxie bench compare --preset llama-7b --contenders native,native:avx2,onednn --tokens 1,512 --json");
  command->callback([options, &run] { run = [options] { return bench_compare(*options); }; });
}

}  // namespace moxie::cli::bench
