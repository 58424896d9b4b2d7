// What a phase costs that has next to nothing to do: phases follow each other at once, or after a pause in which the
// team's threads have gone to sleep.
#include <benchmark/benchmark.h>

#include <chrono>

#include "runtime/executor.h"

namespace {

using namespace moxie;

void wait(std::chrono::microseconds time) {
  const auto end = std::chrono::steady_clock::now() + time;
  while (std::chrono::steady_clock::now() < end) {
  }
}

// range(0): threads, range(1): tasks of a phase, range(2): microseconds between phases, not counted
void phase(benchmark::State& state) {
  Placement placement;
  placement.threads = static_cast<int>(state.range(0));
  const auto tasks = state.range(1);
  const std::chrono::microseconds pause(state.range(2));
  Executor executor(placement);
  executor.run([&](Team& team, Workspace&) {
    for (auto _ : state) {
      if (pause.count() > 0) wait(pause);
      const auto begin = std::chrono::steady_clock::now();
      team.run(tasks, [](int64_t index, int) { benchmark::DoNotOptimize(index); });
      state.SetIterationTime(std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count());
    }
  });
}

// A whole call: the caller sleeps, the executor runs one phase.
void call(benchmark::State& state) {
  Placement placement;
  placement.threads = static_cast<int>(state.range(0));
  Executor executor(placement);
  for (auto _ : state) {
    executor.run(
        [](Team& team, Workspace&) { team.run(2, [](int64_t index, int) { benchmark::DoNotOptimize(index); }); });
  }
}

BENCHMARK(phase)
    ->ArgNames({"threads", "tasks", "pause"})
    ->ArgsProduct({{1, 2}, {2, 16, 200}, {0}})
    ->ArgsProduct({{2}, {2, 16}, {10, 100}})
    ->UseManualTime();
BENCHMARK(call)->ArgName("threads")->Arg(1)->Arg(2)->UseRealTime();

}  // namespace

BENCHMARK_MAIN();
