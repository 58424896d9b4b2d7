// The threads that share one call's work.
#pragma once

#include <atomic>
#include <cstdint>
#include <exception>
#include <mutex>
#include <utility>

#include "runtime/placement.h"

namespace moxie {

// One OpenMP team that lives as long as its runtime. Its master is the executor thread; the others sleep between calls.
//
// A phase is a list of tasks. It ends when its tasks are done, not when every thread has arrived: a thread whose core
// was taken away holds up only the task it is in.
class Team {
 public:
  explicit Team(Placement placement) : placement_(std::move(placement)) {}
  Team(const Team&) = delete;
  Team& operator=(const Team&) = delete;

  // Starts the team and runs `master` on its first thread; returns when that does. Called once, by the executor.
  template <typename Body>
  void live(Body&& master) {
    using Plain = std::remove_reference_t<Body>;
    start([](void* body) { (*static_cast<Plain*>(body))(); }, &master);
  }

  // Threads, the master included.
  [[nodiscard]] int size() const { return size_; }

  // Calls task(index, worker) for every index in [0, count), on any threads in any order; worker is 0 .. size() - 1.
  // Returns when all are done. Of exceptions, the one of the lowest index is rethrown. Only from inside live().
  template <typename Task>
  void run(int64_t count, Task&& task) {
    using Plain = std::remove_reference_t<Task>;
    phase([](void* body, int64_t index, int worker) { (*static_cast<Plain*>(body))(index, worker); }, &task, count);
  }

  // Wakes the threads that sleep: a run() is near, and they shall not come late to it. From any thread.
  void wake() {
    resting_.store(false, std::memory_order_relaxed);
    epoch_.fetch_add(1, std::memory_order_release);
    epoch_.notify_all();
  }

  // Until the next run(): threads that wait make room for whoever wants their core. Only from inside live().
  void rest() { resting_.store(true, std::memory_order_relaxed); }

 private:
  using MasterCall = void (*)(void*);
  using TaskCall = void (*)(void*, int64_t, int);

  void start(MasterCall call, void* body);
  void phase(TaskCall call, void* body, int64_t count);
  void work(int worker);  // takes tasks until there are none
  void wait_for_phases(int worker);
  bool take(int64_t* index);
  void execute(int64_t index, int worker) noexcept;
  void enter();

  Placement placement_;
  int size_ = 1;

  // The phase. Written by the master while no task is unfinished, so that whoever has taken a task may read it.
  TaskCall call_ = nullptr;
  void* body_ = nullptr;
  int64_t count_ = 0;
  std::mutex failure_mutex_;
  std::exception_ptr failure_;
  int64_t failure_index_ = 0;

  // Number of the phase in the upper half, tasks not yet taken in the lower: a late thread can never take a task of
  // a phase that it has not seen.
  alignas(64) std::atomic<uint64_t> ticket_{0};
  alignas(64) std::atomic<int32_t> unfinished_{0};
  alignas(64) std::atomic<uint32_t> epoch_{0};
  std::atomic<bool> resting_{true};
  std::atomic<bool> stop_{false};
  std::atomic<int32_t> living_{0};
};

}  // namespace moxie
