// The thread that owns the team and runs one call after another.
#pragma once

#include <condition_variable>
#include <deque>
#include <exception>
#include <functional>
#include <mutex>
#include <thread>

#include "runtime/team.h"
#include "runtime/workspace.h"

namespace moxie {

// Callers queue in order of arrival and sleep until their job is done.
class Executor {
 public:
  explicit Executor(int threads) : threads_(threads), team_(threads) {}
  ~Executor();
  Executor(const Executor&) = delete;
  Executor& operator=(const Executor&) = delete;

  // Runs job(team, workspace) on the executor thread and returns when it is done; rethrows what it threw. From any
  // thread but the team's own. The workspace is empty at the start of a job.
  template <typename Job>
  void run(Job&& job) {
    using Plain = std::remove_reference_t<Job>;
    submit([](void* body, Team& team, Workspace& workspace) { (*static_cast<Plain*>(body))(team, workspace); }, &job);
  }

  [[nodiscard]] int threads() const { return threads_; }

 private:
  using Call = void (*)(void*, Team&, Workspace&);
  struct Job {
    Call call;
    void* body;
    std::exception_ptr failure;
    bool done = false;
    std::mutex mutex;
    std::condition_variable finished;
  };

  void submit(Call call, void* body);
  void start();
  void serve();

  int threads_;
  Team team_;
  Workspace workspace_;
  std::mutex mutex_;
  std::condition_variable arrived_;
  std::deque<Job*> queue_;
  bool started_ = false;
  bool stop_ = false;
  std::thread thread_;
};

}  // namespace moxie
