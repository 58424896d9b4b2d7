// The thread that owns the team and runs one call after another.
#pragma once

#include <atomic>
#include <condition_variable>
#include <exception>
#include <memory>
#include <mutex>
#include <thread>

#include "runtime/team.h"
#include "runtime/workspace.h"

namespace moxie {

// Callers queue in order of arrival and sleep until their job is done.
class Executor {
 public:
  explicit Executor(const Placement& placement) : placement_(placement), team_(placement) {}
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

  [[nodiscard]] const Placement& placement() const { return placement_; }

 private:
  using Call = void (*)(void*, Team&, Workspace&);
  struct Job {
    Call call;
    void* body;
    // What the caller sleeps on. Its own, because the job is gone as soon as the caller sees that it is done.
    std::shared_ptr<std::atomic<uint32_t>> done;
    std::exception_ptr failure;
    Job* next = nullptr;  // in the queue
  };

  void submit(Call call, void* body);
  void start();
  void serve();

  Placement placement_;
  Team team_;
  Workspace workspace_;
  std::mutex mutex_;
  std::condition_variable arrived_;
  // The queue: jobs stand on their callers' stacks, so waiting takes no memory.
  std::atomic<Job*> first_{nullptr};
  Job* last_ = nullptr;
  bool started_ = false;
  bool stop_ = false;
  std::thread thread_;
};

}  // namespace moxie
