// Threads that measure together.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace moxie::cli::bench {

// Between calls its threads sleep, so that they do not disturb what is measured then.
class Team {
 public:
  explicit Team(int threads);
  ~Team();
  Team(const Team&) = delete;
  Team& operator=(const Team&) = delete;

  int size() const { return static_cast<int>(workers_.size()) + 1; }

  // task(thread) on the first `threads` of the team at once; the caller is thread 0. They begin together.
  void run(int threads, const std::function<void(int)>& task);

 private:
  void work(int thread);
  void begin_together(int threads);

  std::mutex mutex_;
  std::condition_variable changed_;
  const std::function<void(int)>* task_ = nullptr;
  int wanted_ = 0;
  int unfinished_ = 0;
  uint64_t number_ = 0;
  bool stop_ = false;
  std::atomic<int> arrived_{0};
  std::vector<std::thread> workers_;
};

}  // namespace moxie::cli::bench
