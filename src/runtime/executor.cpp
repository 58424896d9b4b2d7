#include "runtime/executor.h"

#include <string>
#include <system_error>
#include <vector>

#include "runtime/error.h"
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
  Job job;
  job.call = call;
  job.body = body;
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (!started_) start();
    if (first_.load(std::memory_order_relaxed) == nullptr) {
      first_.store(&job, std::memory_order_release);
    } else {
      last_->next = &job;
    }
    last_ = &job;
  }
  arrived_.notify_one();
  std::unique_lock<std::mutex> lock(job.mutex);
  job.finished.wait(lock, [&job] { return job.done; });
  if (job.failure) std::rethrow_exception(job.failure);
}

void Executor::serve() {
  for (;;) {
    Job* job = nullptr;
    // Who has just had a step often comes with the next at once; to be woken takes longer than that.
    spin_until([this] { return first_.load(std::memory_order_acquire) != nullptr; });
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
    // The caller may be gone as soon as it sees `done`, so it is told while it cannot look.
    const std::lock_guard<std::mutex> lock(job->mutex);
    job->done = true;
    job->finished.notify_one();
  }
}

}  // namespace moxie
