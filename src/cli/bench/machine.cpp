// moxie bench machine: the limits themselves.
#include <cstdio>
#include <cstdlib>
#include <functional>

#include "cli/bench/caches.h"
#include "cli/bench/commands.h"
#include "cli/bench/figures.h"
#include "cli/bench/layer_options.h"
#include "cli/bench/limits.h"
#include "cli/bench/report.h"
#include "cli/failure.h"
#include "cli/memory.h"
#include "cli/table.h"
#include "cli/terminal.h"

namespace moxie::cli::bench {
namespace {

constexpr int kRounds = 5;

struct MachineOptions {
  CommonOptions common;
  double seconds = 0.2;
  int64_t mebibytes = 0;  // to read; 0: the default
};

// One figure: what is measured, on how many threads, and what came of it.
struct Limit {
  nlohmann::json json;             // what it is
  std::vector<std::string> cells;  // the same in a table, the same for each number of threads
  int threads = 1;
  std::function<double(double seconds)> measure;
  Samples samples;
};

using LimitList = std::vector<Limit>;

class Machine {
 public:
  Machine(const MachineOptions& options, int threads, mox_isa level)
      : team_(threads),
        huge_(team_, PageKind::kHuge, level, read_bytes(options.mebibytes)),
        ordinary_(team_, PageKind::kOrdinary, level, read_bytes(options.mebibytes)) {
    counts_ = threads > 1 ? std::vector<int>{1, threads} : std::vector<int>{1};
    for (auto* memory : {&huge_, &ordinary_}) {
      const std::string pages = name_of(memory == &huge_ ? PageKind::kHuge : PageKind::kOrdinary);
      for (const auto& pattern : read_patterns()) {
        for (const int count : counts_) {
          reads.push_back({{{"pages", pages}, {"streams", pattern.streams()}, {"prefetching", pattern.prefetching}},
                           {"read", pages, pattern.text()},
                           count,
                           [=](double seconds) { return memory->read_rate(count, pattern, seconds); },
                           {}});
        }
      }
      for (const int count : counts_) {
        copies.push_back({{{"pages", pages}},
                          {"copy", pages, "bytes read and written"},
                          count,
                          [=](double seconds) { return memory->copy_rate(count, seconds); },
                          {}});
      }
    }
    for (const auto* multiplier : multipliers(level)) {
      for (const auto operands : {Operands::kRegisters, Operands::kL1, Operands::kL2}) {
        for (const int count : counts_) {
          peaks.push_back(
              {{{"loop", multiplier->name},
                {"isa", mox_isa_name(multiplier->isa)},
                {"operands_type", mox_dtype_name(multiplier->weights)},
                {"operands_in", name_of(operands)}},
               {multiplier->name, mox_dtype_name(multiplier->weights), name_of(operands)},
               count,
               [=, this](double seconds) { return multiply_rate(team_, count, *multiplier, operands, seconds); },
               {}});
        }
      }
    }
  }

  // Round by round, so that a neighbour's noise does not meet one figure alone.
  void measure(double seconds) {
    Progress progress("limits", static_cast<int64_t>(kRounds * (reads.size() + copies.size() + peaks.size())));
    for (int round = 0; round < kRounds; ++round) {
      for (auto* list : {&reads, &copies, &peaks}) {
        for (auto& limit : *list) {
          limit.samples.push_back(limit.measure(seconds / kRounds));
          progress.advance(1);
        }
      }
    }
  }

  nlohmann::json memory_json() const {
    auto list = nlohmann::json::array();
    for (const auto* memory : {&huge_, &ordinary_}) {
      list.push_back({{"pages", name_of(memory == &huge_ ? PageKind::kHuge : PageKind::kOrdinary)},
                      {"bytes", memory->pages().bytes()},
                      {"huge_bytes", memory->pages().huge_bytes()}});
    }
    return list;
  }

  std::string memory_text() const {
    const auto huge = static_cast<double>(huge_.pages().huge_bytes());
    const auto all = static_cast<double>(huge_.pages().bytes());
    return "memory read: " + bytes_text(all) + ", of which the system holds " + bytes_text(huge < 0 ? 0 : huge) +
           " in 2 MiB pages where those are asked for";
  }

  // A column pair for each number of threads.
  std::string table(std::vector<std::string> heading, const LimitList& list, int digits) const {
    const size_t labels = heading.size();
    for (const int count : counts_) {
      heading.push_back(std::to_string(count) + (count == 1 ? " thread" : " threads"));
      heading.emplace_back("max");
    }
    Table table(heading, labels);
    for (size_t i = 0; i < list.size(); i += counts_.size()) {
      auto cells = list[i].cells;
      for (size_t j = i; j < i + counts_.size(); ++j) {
        const Spread spread = spread_of(list[j].samples);
        cells.push_back(fixed(spread.median, digits));
        cells.push_back(fixed(spread.max, digits));
      }
      table.add(std::move(cells));
    }
    return table.text();
  }

  LimitList reads, copies, peaks;

 private:
  Team team_;
  ReadMemory huge_, ordinary_;
  std::vector<int> counts_;
};

nlohmann::json list_json(const LimitList& list, const char* unit) {
  auto json = nlohmann::json::array();
  for (const auto& limit : list) {
    auto entry = limit.json;
    entry["threads"] = limit.threads;
    entry[unit] = spread_of(limit.samples);
    json.push_back(std::move(entry));
  }
  return json;
}

int bench_machine(const MachineOptions& options) {
  const int64_t bytes = read_bytes(options.mebibytes);
  std::fprintf(stderr, "memory: %s to read, on each kind of page\n", bytes_text(static_cast<double>(bytes)).c_str());
  require_memory(2 * bytes, "this benchmark");
  const auto runtime = open_runtime(options.common);
  const auto info = describe<mox_runtime_info>(mox_runtime_describe, runtime);
  // All the machine has, also what the library leaves out because something else is quicker.
  const char* variable = std::getenv("MOXIE_ISA");
  const bool asked_for = !options.common.isa.empty() || (variable != nullptr && *variable != 0);
  Machine machine(options, info.threads, asked_for ? info.isa : info.machine_isa);
  machine.measure(options.seconds);
  const bool in_caches = bytes < 2 * caches().total;
  if (options.common.json) {
    print_json({{"machine", machine_json(runtime)},
                {"memory", machine.memory_json()},
                {"memory_fits_caches", in_caches},
                {"reads", list_json(machine.reads, "gbs")},
                {"copies", list_json(machine.copies, "gbs")},
                {"peaks", list_json(machine.peaks, "gflops")}});
    return kSuccess;
  }
  auto memory = machine.reads;
  memory.insert(memory.end(), machine.copies.begin(), machine.copies.end());
  std::printf("%s\n%s%s\n\nGB/s\n%s\nGFLOP/s\n%s", machine_text(runtime).c_str(), machine.memory_text().c_str(),
              in_caches ? "; it is not much larger than the caches" : "",
              machine.table({"memory", "pages", "how"}, memory, 1).c_str(),
              machine.table({"products", "of", "operands in"}, machine.peaks, 1).c_str());
  return kSuccess;
}

}  // namespace

void add_machine(CLI::App& bench, Run& run) {
  auto options = std::make_shared<MachineOptions>();
  auto* command = bench.add_subcommand("machine", "What the machine can do at most: reading, copying, multiplying");
  add_read_option(*command, options->mebibytes);
  add_seconds_option(*command, options->seconds, "How long to measure each figure");
  add_json_option(*command, options->common);
  add_common_options(*command, options->common);
  command->footer(
      "Each figure is the median, and beside it the largest, of five measurements that took turns with the others'.\n"
      "Each thread reads its own part of the memory in as many streams side by side. Products are measured with\n"
      "operands that stay in registers, and with a few rows of activations against weights that come from the first\n"
      "or second cache. --isa and --threads limit what is measured; --backend means nothing here.\n\n"
      "Examples:\n"
      "  moxie bench machine\n"
      "  moxie bench machine --threads 1 --isa avx2 --json");
  command->callback([options, &run] { run = [options] { return bench_machine(*options); }; });
}

}  // namespace moxie::cli::bench
