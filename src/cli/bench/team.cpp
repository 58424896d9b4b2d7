#include "cli/bench/team.h"

namespace moxie::cli::bench {

Team::Team(int threads) {
  for (int thread = 1; thread < threads; ++thread) workers_.emplace_back([this, thread] { work(thread); });
}

Team::~Team() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  changed_.notify_all();
  for (auto& worker : workers_) worker.join();
}

// A waiting thread gives its core away after a while: there may be fewer cores than threads.
void Team::begin_together(int threads) {
  arrived_.fetch_add(1);
  for (int turns = 0; arrived_.load() < threads; ++turns) {
    if (turns > 1000) std::this_thread::yield();
  }
}

void Team::run(int threads, const std::function<void(int)>& task) {
  {
    const std::lock_guard lock(mutex_);
    task_ = &task;
    wanted_ = threads;
    unfinished_ = threads - 1;
    arrived_.store(0);
    ++number_;
  }
  changed_.notify_all();
  begin_together(threads);
  task(0);
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return unfinished_ == 0; });
}

void Team::work(int thread) {
  uint64_t seen = 0;
  std::unique_lock lock(mutex_);
  for (;;) {
    changed_.wait(lock, [&] { return stop_ || number_ != seen; });
    if (stop_) return;
    seen = number_;
    if (thread >= wanted_) continue;
    const auto* task = task_;
    const int threads = wanted_;
    lock.unlock();
    begin_together(threads);
    (*task)(thread);
    lock.lock();
    if (--unfinished_ == 0) changed_.notify_all();
  }
}

}  // namespace moxie::cli::bench
