// The caches of this machine.
#pragma once

#include <cstdint>

namespace moxie::cli::bench {

struct Caches {
  int64_t l1 = 0;     // bytes of one core, data
  int64_t l2 = 0;     // bytes of one core
  int64_t total = 0;  // bytes of all caches behind the first level
};

// As Linux describes them; a usual server's where it does not.
const Caches& caches();

}  // namespace moxie::cli::bench
