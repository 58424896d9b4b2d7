// moxie bench: how fast a feed-forward runs on this machine.
#include <algorithm>
#include <chrono>
#include <nlohmann/json.hpp>
#include <set>

#include "cli/commands.h"
#include "cli/common_options.h"
#include "cli/failure.h"
#include "cli/memory.h"
#include "cli/synthetic.h"
#include "cli/table.h"

namespace moxie::cli {
namespace {

constexpr int kWarmUpCalls = 2;
constexpr size_t kLeastCalls = 5;

struct BenchOptions {
  CommonOptions common;
  FfnShape shape;
  std::vector<int64_t> tokens{1, 4, 16, 64};
  std::string weights = "bf16";
  std::string versus;
  double seconds = 1;
};

struct Contender {
  std::string backend;  // "": the default
  std::string kernel;
  Runtime runtime;
  FeedForward feed_forward;
};

// Milliseconds of each call, in order.
using Times = std::vector<double>;

double median(Times times) {
  std::sort(times.begin(), times.end());
  const size_t half = times.size() / 2;
  return times.size() % 2 ? times[half] : (times[half - 1] + times[half]) / 2;
}

struct Point {
  int64_t tokens = 0;
  int64_t experts_used = 0;
  std::vector<Times> times;  // of each contender
  double ratio = 0;          // median over the pairs of the second's time over the first's
};

class Workload {
 public:
  Workload(const FfnShape& shape, int64_t tokens)
      : shape_(shape),
        input_(random_values(tokens * shape.hidden, 1, 5)),
        output_(input_.size()),
        range_{nullptr, 0, tokens} {
    batch_ = defaults(mox_batch_init);
    batch_.rows = tokens;
    batch_.input = input_.data();
    batch_.output = output_.data();
    batch_.ranges = &range_;
    batch_.range_count = 1;
  }

  double milliseconds(const Contender& contender) {
    const auto begin = std::chrono::steady_clock::now();
    call(mox_feed_forward_run, contender.feed_forward.get(), &batch_, nullptr, nullptr);
    return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - begin).count();
  }

  int64_t experts_used(const Contender& contender) {
    if (shape_.experts == 1) return 1;
    const auto routing = make<Routing>(mox_feed_forward_route, contender.feed_forward.get(), &batch_);
    std::vector<int32_t> experts(static_cast<size_t>(batch_.rows * shape_.top_k));
    call(mox_routing_read, routing.get(), int64_t{0}, int64_t{0}, nullptr, experts.data(), nullptr);
    return static_cast<int64_t>(std::set<int32_t>(experts.begin(), experts.end()).size());
  }

 private:
  const FfnShape& shape_;
  std::vector<float> input_, output_;
  mox_range range_;
  mox_batch batch_{};
};

// Contenders take turns, so that a neighbour's noise meets both.
Point measure(const std::vector<Contender>& contenders, const BenchOptions& options, int64_t tokens) {
  Workload workload(options.shape, tokens);
  Point point;
  point.tokens = tokens;
  point.experts_used = workload.experts_used(contenders.front());
  point.times.resize(contenders.size());
  for (int i = 0; i < kWarmUpCalls; ++i) {
    for (const auto& contender : contenders) workload.milliseconds(contender);
  }
  double spent = 0;
  Times ratios;
  while (ratios.size() < kLeastCalls || spent < options.seconds * 1e3) {
    for (size_t i = 0; i < contenders.size(); ++i) {
      const size_t turn = ratios.size() % 2 ? contenders.size() - 1 - i : i;
      point.times[turn].push_back(workload.milliseconds(contenders[turn]));
      spent += point.times[turn].back();
    }
    ratios.push_back(point.times.back().back() / point.times.front().back());
  }
  point.ratio = median(ratios);
  return point;
}

Contender open(const BenchOptions& options, const std::string& backend) {
  Contender contender;
  contender.backend = backend;
  contender.runtime = open_runtime(options.common, backend);
  contender.feed_forward = synthetic_feed_forward(contender.runtime, options.shape);
  const auto info = describe<mox_runtime_info>(mox_runtime_describe, contender.runtime);
  contender.kernel = options.shape.weights == MOX_F32 ? info.kernel_f32 : info.kernel_bf16;
  return contender;
}

void require_memory_for(const BenchOptions& options) {
  const int64_t most = *std::max_element(options.tokens.begin(), options.tokens.end());
  const int64_t copies = options.versus.empty() ? 1 : 2;
  const int64_t weights = copies * options.shape.experts * options.shape.expert_bytes() + options.shape.expert_bytes() +
                          options.shape.hidden * options.shape.ffn * 4;  // one matrix before it is rounded
  const int64_t rows = most * options.shape.top_k * (options.shape.ffn + 2 * options.shape.hidden) * 4;
  std::fprintf(stderr, "memory: %s of weights, about %s for %lld tokens\n",
               bytes_text(static_cast<double>(weights)).c_str(), bytes_text(static_cast<double>(rows)).c_str(),
               static_cast<long long>(most));
  require_memory(weights + rows, "this benchmark");
}

int bench_ffn(BenchOptions options) {
  auto& shape = options.shape;
  shape.weights = options.weights == "f32" ? MOX_F32 : MOX_BF16;
  if (shape.experts == 1) shape.top_k = 1;
  if (shape.top_k > shape.experts) {
    throw UsageError("--top-k " + std::to_string(shape.top_k) + " of " + std::to_string(shape.experts) + " experts");
  }
  if (!options.versus.empty()) backend_called(options.versus);
  require_memory_for(options);
  std::vector<Contender> contenders;
  contenders.push_back(open(options, options.common.backend));
  if (!options.versus.empty()) contenders.push_back(open(options, options.versus));

  auto json = nlohmann::json::array();
  Table table({"tokens", "kernel", "median ms", "min", "max", "calls", "GFLOP/s", "GB/s", "times as long"}, 2);
  for (const int64_t tokens : options.tokens) {
    const auto point = measure(contenders, options, tokens);
    for (size_t i = 0; i < contenders.size(); ++i) {
      const auto& times = point.times[i];
      const double middle = median(times);
      const double least = *std::min_element(times.begin(), times.end());
      const double most = *std::max_element(times.begin(), times.end());
      const auto values = static_cast<double>(3 * shape.hidden * shape.ffn);
      const double gflops = 2 * values * static_cast<double>(shape.top_k * tokens) / middle / 1e6;
      const double gbs = static_cast<double>(point.experts_used * shape.expert_bytes()) / middle / 1e6;
      table.add({std::to_string(tokens), contenders[i].kernel, fixed(middle, 3), fixed(least, 3), fixed(most, 3),
                 std::to_string(times.size()), fixed(gflops, 1), fixed(gbs, 2), i == 0 ? "" : fixed(point.ratio, 2)});
      json.push_back({{"tokens", tokens},
                      {"kernel", contenders[i].kernel},
                      {"milliseconds", {{"median", middle}, {"min", least}, {"max", most}}},
                      {"calls", times.size()},
                      {"experts_used", point.experts_used},
                      {"gflops", gflops},
                      {"weight_gbs", gbs},
                      {"times_as_long", i == 0 ? nlohmann::json() : nlohmann::json(point.ratio)}});
    }
  }
  std::fputs(options.common.json ? (json.dump(2) + "\n").c_str() : table.text().c_str(), stdout);
  return kSuccess;
}

}  // namespace

void add_bench(CLI::App& application, Run& run) {
  auto options = std::make_shared<BenchOptions>();
  auto* bench = application.add_subcommand("bench", "Measure speed on this machine");
  bench->require_subcommand(1);
  auto* command = bench->add_subcommand("ffn", "One feed-forward with made-up weights");
  command->add_option("--hidden", options->shape.hidden, "Width of the rows")
      ->check(CLI::Range(1, 1 << 20))
      ->capture_default_str();
  command->add_option("--ffn", options->shape.ffn, "Width inside an expert")
      ->check(CLI::Range(1, 1 << 20))
      ->capture_default_str();
  command->add_option("--experts", options->shape.experts, "1: a dense feed-forward")
      ->check(CLI::Range(1, 65536))
      ->capture_default_str();
  command->add_option("--top-k", options->shape.top_k, "Experts of a token")
      ->check(CLI::Range(1, 65536))
      ->capture_default_str();
  command->add_option("--tokens", options->tokens, "Batch sizes to measure")
      ->delimiter(',')
      ->check(CLI::Range(1, 1 << 20))
      ->capture_default_str();
  command->add_option("--weights", options->weights, "Their type")
      ->check(CLI::IsMember({"f32", "bf16"}))
      ->capture_default_str();
  command->add_option("--seconds", options->seconds, "How long to measure each batch size at least")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  command->add_option("--versus", options->versus, "Another backend to measure in turns; needs the weights twice")
      ->type_name("BACKEND");
  add_json_option(*command, options->common);
  add_common_options(*command, options->common);
  command->footer(
      "GB/s counts the weights of the experts that were used. \"times as long\" is the median over pairs of calls.\n\n"
      "Examples:\n"
      "  moxie bench ffn --hidden 4096 --ffn 14336 --experts 8 --top-k 2 --tokens 1,16,512\n"
      "  moxie bench ffn --hidden 2048 --ffn 768 --experts 128 --top-k 8 --weights bf16 --versus onednn");
  command->callback([options, &run] { run = [options] { return bench_ffn(*options); }; });
}

}  // namespace moxie::cli
