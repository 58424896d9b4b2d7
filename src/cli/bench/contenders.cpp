#include "cli/bench/contenders.h"

#include <algorithm>
#include <chrono>

namespace moxie::cli::bench {
namespace {

constexpr int kLeastWarmUpCalls = 2;
// A shorter call follows right behind an untimed one: threads that were asleep during the measurement of the limits
// take a while to wake, which they would not have to in the calls of a model.
constexpr double kShortMilliseconds = 50;

// Memory is read for about as long as a call takes, 4 to 20 ms, so that like meets like; this is half of that, because
// reading takes twice as long as multiplying.
double probe_seconds(double call_milliseconds) { return std::clamp(call_milliseconds * 1e-3 / 2, 2e-3, 10e-3); }

double seconds_since(std::chrono::steady_clock::time_point begin) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

}  // namespace

std::string kernel_of(const Runtime& runtime, mox_dtype weights) {
  const auto info = describe<mox_runtime_info>(mox_runtime_describe, runtime);
  return weights == MOX_F32 ? info.kernel_f32 : info.kernel_bf16;
}

Contender open_contender(const CommonOptions& options, const std::string& backend, const std::string& isa,
                         const FfnShape& shape) {
  auto own = options;
  if (!backend.empty()) own.backend = backend;
  if (!isa.empty()) own.isa = isa;
  Contender contender;
  contender.name = own.backend.empty() ? "default" : own.backend;
  if (!own.isa.empty()) contender.name += ":" + own.isa;
  contender.runtime = open_runtime(own);
  const auto info = describe<mox_runtime_info>(mox_runtime_describe, contender.runtime);
  contender.kernel = kernel_of(contender.runtime, shape.weights);
  contender.limit = &multiplier_of(contender.kernel, info.isa, shape.weights);
  contender.feed_forward = synthetic_feed_forward(contender.runtime, shape);
  const auto layer = describe<mox_feed_forward_info>(mox_feed_forward_describe, contender.feed_forward);
  contender.weight_bytes = layer.weight_bytes;
  if (layer.compact_bytes > 0) {
    const int64_t router = shape.experts > 1 ? shape.experts * shape.hidden * static_cast<int64_t>(sizeof(float)) : 0;
    const int64_t plain = std::max<int64_t>(0, layer.weight_bytes - layer.compact_bytes - router);
    contender.held =
        static_cast<double>(layer.compact_bytes + plain) / static_cast<double>(shape.experts * shape.expert_bytes());
    contender.kernel += ", compact";
  }
  return contender;
}

nlohmann::json as_json(const CallFigures& figures, const Contender& contender) {
  return {{"contender", contender.name},
          {"kernel", contender.kernel},
          {"milliseconds", figures.milliseconds},
          {"calls", figures.calls},
          {"gflops", figures.gflops},
          {"weight_gbs", figures.weight_gbs},
          {"limits",
           {{"arithmetic", contender.limit->name},
            {"gflops", figures.limits.gflops},
            {"read_gbs", figures.limits.read_gbs}}},
          {"fractions", figures.of_limits}};
}

double Rounds::ratio(size_t other, size_t base) const {
  Samples times, base_times;
  for (const auto& call : calls[other]) times.push_back(call.milliseconds);
  for (const auto& call : calls[base]) base_times.push_back(call.milliseconds);
  return median_ratio(times, base_times);
}

nlohmann::json rotation_json(const Rounds& rounds) {
  return {{"batches", rounds.batches}, {"weight_bytes", rounds.rotation_bytes}};
}

Rounds measure_rounds(const std::vector<Contender>& contenders, const FfnShape& shape, int64_t tokens, double seconds,
                      LimitProbe& probe) {
  Workload workload(shape, tokens, contenders.front().feed_forward);
  Rounds rounds;
  rounds.operations = workload.operations();
  rounds.batches = workload.batches();
  rounds.rotation_bytes = workload.rotation_bytes();
  Samples used;
  for (size_t batch = 0; batch < workload.batches(); ++batch) {
    used.push_back(static_cast<double>(workload.experts_used(batch)));
  }
  rounds.experts_used = spread_of(used);

  // The first calls after another program or another kernel ran are slow.
  std::vector<double> usual(contenders.size());
  size_t batch = 0;
  auto begin = std::chrono::steady_clock::now();
  for (int i = 0; i < kLeastWarmUpCalls || seconds_since(begin) < kWarmUpPart * seconds; ++i, ++batch) {
    for (size_t c = 0; c < contenders.size(); ++c) {
      usual[c] = workload.milliseconds(contenders[c].feed_forward, batch);
      probe.measure(*contenders[c].limit, probe_seconds(0));
    }
  }

  // Contenders take turns, so that a neighbour's noise meets all of them.
  rounds.calls.resize(contenders.size());
  begin = std::chrono::steady_clock::now();
  for (size_t round = 0; round < kLeastRounds || seconds_since(begin) < seconds; ++round, ++batch) {
    for (size_t i = 0; i < contenders.size(); ++i) {
      const size_t turn = round % 2 ? contenders.size() - 1 - i : i;
      const auto& contender = contenders[turn];
      TimedCall call;
      const double beside = probe_seconds(usual[turn]);
      const Limits before = probe.measure(*contender.limit, beside);
      // The batch before this one: its own turn comes after all others.
      if (usual[turn] < kShortMilliseconds) {
        workload.milliseconds(contender.feed_forward, batch + workload.batches() - 1);
      }
      call.milliseconds = workload.milliseconds(contender.feed_forward, batch);
      const Limits after = probe.measure(*contender.limit, beside);
      call.weight_bytes = workload.weight_bytes(batch) * contender.held;
      call.beside = {(before.gflops + after.gflops) / 2, (before.read_gbs + after.read_gbs) / 2};
      rounds.calls[turn].push_back(call);
    }
  }
  return rounds;
}

}  // namespace moxie::cli::bench
