// Work outside the executor: loading uses threads of its own, so that it never holds up calls in flight.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <exception>
#include <mutex>
#include <system_error>
#include <thread>
#include <vector>

namespace moxie {

// Calls task(index) for every index in [0, count) on up to `threads` threads, the caller's among them. The first
// exception ends the work and is rethrown. Where the system refuses a thread, fewer do the work.
template <typename Task>
void parallel_for(int threads, int64_t count, Task&& task) {
  std::atomic<int64_t> next{0};
  std::mutex mutex;
  std::exception_ptr failure;
  auto work = [&] {
    for (int64_t index = next.fetch_add(1); index < count; index = next.fetch_add(1)) {
      try {
        task(index);
      } catch (...) {
        const std::lock_guard<std::mutex> lock(mutex);
        if (!failure) failure = std::current_exception();
        next.store(count);
      }
    }
  };
  std::vector<std::thread> helpers;
  const auto wanted = static_cast<size_t>(std::max<int64_t>(0, std::min<int64_t>(threads, count) - 1));
  helpers.reserve(wanted);
  try {
    while (helpers.size() < wanted) helpers.emplace_back(work);
  } catch (const std::system_error&) {
    // fewer threads then
  }
  work();
  for (std::thread& helper : helpers) helper.join();
  if (failure) std::rethrow_exception(failure);
}

}  // namespace moxie
