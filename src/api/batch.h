// The caller's batch of ranges, checked and put in row order.
#pragma once

#include <vector>

#include "api/handles.h"
#include "moe/feed_forward.h"

namespace moxie::api {

struct CheckedBatch {
  explicit CheckedBatch(CallMemory& memory)
      : order(memory.resource()), ranges(memory.resource()), sequences(memory.resource()) {}

  mox_batch batch{};
  std::pmr::vector<size_t> order;  // ranges by their first row
  std::pmr::vector<moe::FeedForwardRange> ranges;
  std::pmr::vector<moe::SequenceRows> sequences;
};

// Error where ranges leave a gap or overlap, sizes are impossible, an adapter lies over another base, ...
// with_output: whether the output fields count.
CheckedBatch check_batch(const mox_batch* given, const mox_feed_forward& feed_forward, bool with_output,
                         CallMemory& memory, HeldAdapters* adapters);

void require_hidden_dtype(mox_dtype dtype, const ArgumentName& what);
// The stride in use. Error where rows would overlap, or where the last of `rows` rows cannot be addressed.
int64_t checked_stride(int64_t stride, int64_t width, int64_t rows, const ArgumentName& what);

// Rows [begin, end) between the caller's memory and float32.
void read_rows(const void* source, mox_dtype dtype, int64_t stride, int64_t width, int64_t begin, int64_t end,
               float* rows, int64_t ld);
void write_rows(const float* rows, int64_t ld, int64_t width, int64_t begin, int64_t end, void* destination,
                mox_dtype dtype, int64_t stride);

}  // namespace moxie::api
