// Waiting for what comes soon.
#pragma once

#include <chrono>

namespace moxie {

inline void relax() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#endif
}

// A wait shorter than this is cheaper spun than slept; a longer one would burn a core that callers could use.
constexpr auto spin_time = std::chrono::microseconds(30);

// Whether done() came true in that time. pause() is called between looks.
template <typename Done, typename Pause>
bool spin_until(Done&& done, Pause&& pause, std::chrono::microseconds time = spin_time) {
  if (done()) return true;
  const auto end = std::chrono::steady_clock::now() + time;
  do {
    for (int i = 0; i < 32; ++i) {
      if (done()) return true;
      pause();
    }
  } while (std::chrono::steady_clock::now() < end);
  return done();
}

template <typename Done>
bool spin_until(Done&& done) {
  return spin_until(done, relax);
}

}  // namespace moxie
