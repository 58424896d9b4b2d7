#include "runtime/team.h"

#include <omp.h>

#include <chrono>
#include <thread>

#include "runtime/race_detector.h"
#include "runtime/spin.h"

namespace moxie {
namespace {

// The team that is being started. A parallel region without captured variables gets its team here, through an atomic
// that race detectors understand, where they do not understand how OpenMP hands captured variables to its threads.
std::mutex starting_mutex;
std::atomic<Team*> starting{nullptr};

// Waits for what comes when others have done their last task of a phase. A core that is given away comes back too late
// for the next phase, and a thread that must be woken later still: so first the core is kept, then the thread stays
// awake and makes room for whoever wants to run.
template <typename Done>
bool stay_awake_until(Done&& done) {
  constexpr auto last_task_time = std::chrono::microseconds(1000);
  return spin_until(done) || spin_until(done, std::this_thread::yield, last_task_time);
}

}  // namespace

void Team::enter() {
  const int worker = omp_get_thread_num();
  bind_thread(placement_, worker);
  omp_set_num_threads(1);  // libraries called from a task must not open teams of their own
  wait_for_phases(worker);
}

void Team::start(MasterCall call, void* body) {
  if (placement_.threads <= 1) {
    bind_thread(placement_, 0);
    omp_set_num_threads(1);
    call(body);
    return;
  }
  omp_set_dynamic(0);
  static thread_local MasterCall master_call;
  static thread_local void* master_body;
  static thread_local std::unique_lock<std::mutex>* start_lock;
  std::unique_lock<std::mutex> lock(starting_mutex);
  master_call = call;
  master_body = body;
  start_lock = &lock;
  living_.store(0);
  const int threads = placement_.threads;
  starting.store(this);
#pragma omp parallel num_threads(threads)
  {
    Team* team = starting.load();
    if (omp_get_thread_num() == 0) {
      team->size_ = omp_get_num_threads();
      team->living_.fetch_add(1);
      while (team->living_.load() < team->size_) relax();
      start_lock->unlock();
      bind_thread(team->placement_, 0);
      omp_set_num_threads(1);
      master_call(master_body);
      team->stop_.store(true);
      team->wake();
      while (team->living_.load() > 1) relax();
    } else {
      team->living_.fetch_add(1);
      team->enter();
      team->living_.fetch_sub(1);
    }
  }
}

void Team::wait_for_phases(int worker) {
  uint32_t seen = 0;
  for (;;) {
    const auto begun = [&] { return epoch_.load(std::memory_order_acquire) != seen; };
    stay_awake_until([&] { return begun() || resting_.load(std::memory_order_relaxed); });
    if (!spin_until(begun, std::this_thread::yield)) epoch_.wait(seen);
    seen = epoch_.load(std::memory_order_acquire);
    if (stop_.load()) return;
    work(worker);
  }
}

bool Team::take(int64_t* index) {
  uint64_t ticket = ticket_.load(std::memory_order_acquire);
  while ((ticket & 0xffffffffU) != 0) {
    if (ticket_.compare_exchange_weak(ticket, ticket - 1, std::memory_order_acq_rel, std::memory_order_acquire)) {
      *index = count_ - static_cast<int64_t>(ticket & 0xffffffffU);
      return true;
    }
  }
  return false;
}

void Team::execute(int64_t index, int worker) noexcept {
  try {
    call_(body_, index, worker);
  } catch (...) {
    const std::lock_guard<std::mutex> lock(failure_mutex_);
    if (!failure_ || index < failure_index_) {
      failure_ = std::current_exception();
      failure_index_ = index;
    }
  }
}

void Team::work(int worker) {
  int64_t index = 0;
  while (take(&index)) {
    tell_acquired(&ticket_);
    execute(index, worker);
    tell_released(&unfinished_);
    if (unfinished_.fetch_sub(1, std::memory_order_acq_rel) == 1) unfinished_.notify_one();
  }
}

void Team::phase(TaskCall call, void* body, int64_t count) {
  if (count <= 0) return;
  call_ = call;
  body_ = body;
  count_ = count;
  failure_ = nullptr;
  if (size_ == 1 || count == 1) {
    for (int64_t index = 0; index < count; ++index) execute(index, 0);
  } else {
    unfinished_.store(static_cast<int32_t>(count), std::memory_order_relaxed);
    const uint64_t number = (ticket_.load(std::memory_order_relaxed) >> 32) + 1;
    tell_released(&ticket_);
    ticket_.store(number << 32 | static_cast<uint64_t>(count), std::memory_order_release);
    wake();
    work(0);
    if (!stay_awake_until([&] { return unfinished_.load(std::memory_order_acquire) == 0; })) {
      int32_t left = unfinished_.load(std::memory_order_acquire);
      while (left != 0) {
        unfinished_.wait(left);
        left = unfinished_.load(std::memory_order_acquire);
      }
    }
    tell_acquired(&unfinished_);
  }
  if (failure_) std::rethrow_exception(std::exchange(failure_, nullptr));
}

}  // namespace moxie
