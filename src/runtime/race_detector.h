// What our atomics order, told to a race detector that cannot see them.
#pragma once

// The thread sanitizer's own functions, there only in a program that runs under it. A program may be checked while this
// library was built without the sanitizer; it then cannot see our atomics, so it is told of what they order.
extern "C" {
__attribute__((weak)) void __tsan_acquire(void* address);  // NOLINT(bugprone-reserved-identifier)
__attribute__((weak)) void __tsan_release(void* address);  // NOLINT(bugprone-reserved-identifier)
// Of C and C++ programs only. Go's race detector has the other two as well, which must not be called on threads that Go
// does not know.
__attribute__((weak)) void __tsan_func_entry(void* caller);  // NOLINT(bugprone-reserved-identifier)
}

namespace moxie {

inline void tell_acquired(void* address) {
  if (__tsan_acquire != nullptr && __tsan_func_entry != nullptr) __tsan_acquire(address);
}

inline void tell_released(void* address) {
  if (__tsan_release != nullptr && __tsan_func_entry != nullptr) __tsan_release(address);
}

}  // namespace moxie
