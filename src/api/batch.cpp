#include "api/batch.h"

#include <algorithm>
#include <numeric>
#include <tuple>

#include "api/call.h"

namespace moxie::api {
namespace {

std::string at(size_t index) { return "ranges[" + std::to_string(index) + "]"; }

void check_ranges(const mox_batch& batch, std::pmr::vector<size_t>* order) {
  for (size_t i = 0; i < batch.range_count; ++i) {
    const mox_range& range = batch.ranges[i];
    if (range.begin < 0 || range.begin > range.end || range.end > batch.rows) {
      throw invalid_argument(at(i) + " is rows " + std::to_string(range.begin) + " to " + std::to_string(range.end) +
                             "; expected 0 <= begin <= end <= " + std::to_string(batch.rows));
    }
  }
  order->resize(batch.range_count);
  std::iota(order->begin(), order->end(), size_t{0});
  std::sort(order->begin(), order->end(), [&](size_t a, size_t b) {
    return std::tuple(batch.ranges[a].begin, batch.ranges[a].end, a) <
           std::tuple(batch.ranges[b].begin, batch.ranges[b].end, b);
  });
  int64_t covered = 0;
  for (const size_t i : *order) {
    const mox_range& range = batch.ranges[i];
    if (range.begin < covered) {
      throw invalid_argument(at(i) + " begins at row " + std::to_string(range.begin) +
                             ", which another range already covers");
    }
    if (range.begin > covered) {
      throw invalid_argument("rows " + std::to_string(covered) + " to " + std::to_string(range.begin - 1) +
                             " are in no range; every row must be in exactly one");
    }
    covered = range.end;
  }
  if (covered != batch.rows) {
    throw invalid_argument("rows " + std::to_string(covered) + " to " + std::to_string(batch.rows - 1) +
                           " are in no range; every row must be in exactly one");
  }
}

void find_sequences(CallMemory& memory, CheckedBatch* checked) {
  const mox_batch& batch = checked->batch;
  auto begins = memory.list<int64_t>();
  if (batch.sequence_count > 0) require_not_null(batch.sequence_begins, "sequence_begins");
  for (size_t i = 0; i < batch.sequence_count; ++i) {
    const int64_t begin = batch.sequence_begins[i];
    if (begin < 0 || begin >= batch.rows || (i > 0 && begin <= batch.sequence_begins[i - 1])) {
      throw invalid_argument("sequence_begins[" + std::to_string(i) + "] is " + std::to_string(begin) +
                             "; expected ascending rows below " + std::to_string(batch.rows));
    }
    begins.push_back(begin);
  }
  for (const moe::FeedForwardRange& range : checked->ranges) {
    if (range.begin < range.end) begins.push_back(range.begin);
  }
  std::sort(begins.begin(), begins.end());
  begins.erase(std::unique(begins.begin(), begins.end()), begins.end());
  auto& sequences = checked->sequences;
  sequences.resize(begins.size());
  for (size_t i = 0; i < begins.size(); ++i) {
    sequences[i].begin = begins[i];
    sequences[i].end = i + 1 < begins.size() ? begins[i + 1] : batch.rows;
  }
}

}  // namespace

void require_hidden_dtype(mox_dtype dtype, const ArgumentName& what) {
  if (dtype != MOX_F32 && dtype != MOX_BF16) {
    throw invalid_argument(what.text() + " is " + mox_dtype_name(dtype) + "; expected float32 or bfloat16");
  }
}

int64_t checked_stride(int64_t stride, int64_t width, int64_t rows, const ArgumentName& what) {
  constexpr int64_t widest_element = 8;
  if (stride == 0) return width;
  if (stride > INT64_MAX / widest_element / std::max<int64_t>(rows, 1)) {
    throw invalid_argument(what.text() + " is " + std::to_string(stride) + " elements; " + std::to_string(rows) +
                           " such rows are beyond any memory");
  }
  if (stride < width) {
    throw invalid_argument(what.text() + " is " + std::to_string(stride) + " elements; rows are " +
                           std::to_string(width) + " wide");
  }
  return stride;
}

CheckedBatch check_batch(const mox_batch* given, const mox_feed_forward& feed_forward, bool with_output,
                         CallMemory& memory, HeldAdapters* adapters) {
  require_not_null(given, "batch");
  CheckedBatch checked(memory);
  checked.batch = read_struct(given, mox_batch{}, "mox_batch");
  mox_batch& batch = checked.batch;
  const int64_t hidden = feed_forward.layer->feed_forward.hidden;
  if (batch.rows < 0 || batch.rows > INT32_MAX) {
    throw invalid_argument("rows is " + std::to_string(batch.rows) + "; expected 0 to " + std::to_string(INT32_MAX));
  }
  require_hidden_dtype(batch.input_dtype, "input_dtype");
  batch.input_stride = checked_stride(batch.input_stride, hidden, batch.rows, "input_stride");
  if (batch.rows > 0) require_not_null(batch.input, "input");
  if (with_output) {
    require_hidden_dtype(batch.output_dtype, "output_dtype");
    batch.output_stride = checked_stride(batch.output_stride, hidden, batch.rows, "output_stride");
    if (batch.rows > 0) require_not_null(batch.output, "output");
  }
  if (batch.range_count > 0) require_not_null(batch.ranges, "ranges");
  check_ranges(batch, &checked.order);
  for (const size_t i : checked.order) {
    const mox_range& range = batch.ranges[i];
    const adapter::Adapter* adapter =
        adapters->hold(range.adapter, feed_forward.layer.get(), {"ranges", i, ".adapter"});
    const adapter::FeedForwardAdapter* over = adapter == nullptr ? nullptr : &adapter->layers.front().feed_forward;
    if (over != nullptr && over->empty()) over = nullptr;
    checked.ranges.push_back({range.begin, range.end, over});
  }
  find_sequences(memory, &checked);
  return checked;
}

void read_rows(const void* source, mox_dtype dtype, int64_t stride, int64_t width, int64_t begin, int64_t end,
               float* rows, int64_t ld) {
  for (int64_t row = begin; row < end; ++row) {
    if (dtype == MOX_F32) {
      std::copy_n(static_cast<const float*>(source) + row * stride, width, rows + row * ld);
    } else {
      std::transform(static_cast<const bfloat16*>(source) + row * stride,
                     static_cast<const bfloat16*>(source) + row * stride + width, rows + row * ld, widen_bfloat16);
    }
  }
}

void write_rows(const float* rows, int64_t ld, int64_t width, int64_t begin, int64_t end, void* destination,
                mox_dtype dtype, int64_t stride) {
  for (int64_t row = begin; row < end; ++row) {
    if (dtype == MOX_F32) {
      std::copy_n(rows + row * ld, width, static_cast<float*>(destination) + row * stride);
    } else {
      std::transform(rows + row * ld, rows + row * ld + width, static_cast<bfloat16*>(destination) + row * stride,
                     round_to_bfloat16);
    }
  }
}

}  // namespace moxie::api
