#include "runtime/executor.h"

#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "runtime/error.h"
#include "runtime/race_detector.h"
#include "runtime/spin.h"

namespace moxie {
namespace {

// OpenMP ends the process where it cannot make a thread; so see first whether they can be made.
void require_threads(int count) {
  std::vector<std::thread> threads;
  threads.reserve(static_cast<size_t>(count));
  std::mutex gate;
  std::string failure;
  {
    const std::lock_guard<std::mutex> hold(gate);
    try {
      for (int i = 0; i < count; ++i) {
        threads.emplace_back([&gate] { const std::lock_guard<std::mutex> pass(gate); });
      }
    } catch (const std::system_error& error) {
      failure = error.what();
    }
  }
  for (std::thread& thread : threads) thread.join();
  if (!failure.empty()) {
    throw Error(MOX_OUT_OF_MEMORY, "the system allows only " + std::to_string(threads.size()) + " of the " +
                                       std::to_string(count) + " threads the runtime needs: " + failure);
  }
}

}  // namespace

Executor::~Executor() {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    stop_ = true;
  }
  arrived_.notify_one();
  if (thread_.joinable()) thread_.join();
}

void Executor::start() {
  require_threads(placement_.threads);
  thread_ = std::thread([this] { team_.live([this] { serve(); }); });
  started_ = true;
}

void Executor::submit(Call call, void* body) {
  static thread_local const auto done = std::make_shared<std::atomic<uint32_t>>(0);
  done->store(0, std::memory_order_relaxed);
  Job job{call, body, done, nullptr, nullptr};
  bool was_empty = false;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (!started_) start();
    was_empty = first_.load(std::memory_order_relaxed) == nullptr;
    if (was_empty) {
      first_.store(&job, std::memory_order_release);
    } else {
      last_->next = &job;
    }
    last_ = &job;
  }
  arrived_.notify_one();
  if (was_empty) team_.wake();  // now, not when the executor has been woken
  done->wait(0, std::memory_order_acquire);
  tell_acquired(done.get());
  if (job.failure) std::rethrow_exception(job.failure);
}

void Executor::serve() {
  for (;;) {
    Job* job = nullptr;
    // Who has just had a step often comes with the next at once; to be woken takes longer than that. But where the team
    // has all cores, it is on one of them that the caller must run first.
    spin_until([this] { return first_.load(std::memory_order_acquire) != nullptr; }, std::this_thread::yield);
    {
      std::unique_lock<std::mutex> lock(mutex_);
      arrived_.wait(lock, [this] { return stop_ || first_.load() != nullptr; });
      job = first_.load();
      if (job == nullptr) return;
      first_.store(job->next);
    }
    try {
      job->call(job->body, team_, workspace_);
    } catch (...) {
      job->failure = std::current_exception();
    }
    workspace_.reset();
    team_.rest();
    const std::shared_ptr<std::atomic<uint32_t>> done = std::move(job->done);
    tell_released(done.get());
    done->store(1);  // before notify_one() looks whether anybody waits
    done->notify_one();
  }
}

}  // namespace moxie
