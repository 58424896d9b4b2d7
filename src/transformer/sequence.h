// What one sequence remembers: keys, values, and what its switch routers have served.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <vector>

#include "transformer/cache.h"

namespace moxie::transformer {

// Which experts a switch router chose for the rows so far, in one layer: its capacity counts per sequence, and a
// sequence gives the same rows whether it comes in one step or in many.
struct SwitchMemory {
  uint64_t adapter = 0;         // id of the adapter whose router it is, 0: none yet; another one starts afresh
  int64_t first_row = 0;        // rows before were routed by somebody else
  std::vector<int32_t> chosen;  // of rows first_row, first_row + 1, ...
  std::vector<int64_t> served;  // [experts]
};

struct Sequence {
  Sequence(const CacheShape& shape, int64_t first_position_of_sequence);

  // A second sequence that remembers the same.
  [[nodiscard]] std::unique_ptr<Sequence> fork() const;
  void truncate(int64_t new_length);

  int64_t length = 0;          // rows held
  int64_t first_position = 0;  // position of row 0
  Cache cache;
  std::vector<SwitchMemory> switches;  // [layers]
  const void* owner = nullptr;         // the model or block it was made for
  mutable std::atomic<bool> busy{false};
};

}  // namespace moxie::transformer
