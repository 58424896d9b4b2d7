// Linears under adapters, each by itself: the attention's projections.
#pragma once

#include <span>

#include "moe/linear.h"
#include "moe/lora_input.h"

namespace moxie::moe {

// A range as linears see it.
struct LinearRange {
  int64_t begin = 0, end = 0;
  const adapter::AttentionAdapter* adapter = nullptr;
};

// Which factors of an AttentionAdapter a linear takes.
using SetsOf = std::optional<adapter::LoraSets> adapter::AttentionAdapter::*;

struct LinearJob {
  const Linear* linear;
  const char* name;
  SetsOf sets;
  float* y;  // [rows][ldy]
  int64_t ldy;
};

// y = x W^T + bias under each range's adapter, for several linears of one input. x: [rows][ldx] float32.
// Ranges must cover all rows. kept: one entry for each range, or empty; receives what plug-in routers decided.
void run_linears(const Context& context, const float* x, int64_t ldx, int64_t rows, std::span<const LinearJob> jobs,
                 std::span<const LinearRange> ranges, std::span<RangeRouting*> kept);

// Rows of x as the weights' dtype wants them: x itself for float32, else rounded and padded copies.
struct ProductInput {
  void* rows = nullptr;
  int64_t stride = 0;   // elements
  bool single = false;  // there is one row, and it is every row
  [[nodiscard]] const std::byte* row(int64_t index, DType dtype) const {
    const int64_t elements = single ? 0 : index * stride;
    return static_cast<const std::byte*>(rows) + elements * static_cast<int64_t>(element_size(dtype));
  }
  [[nodiscard]] kernels::Fetch fetch(Span span, DType dtype) const {
    return {row(span.begin, dtype), span.size() * stride * static_cast<int64_t>(element_size(dtype))};
  }
};
ProductInput product_input(Workspace& workspace, DType dtype, const float* x, int64_t ldx, int64_t rows,
                           int64_t columns);
// Where a product goes, and the weights that will be read after its own, or NULL.
struct ProductOutput {
  float* c;
  int64_t ldc;
  const void* after = nullptr;
};
// c[i][..] = row (rows.begin + i) of x times the columns of `panels` of the linear's weight, bias not included.
void multiply(const Context& context, const ProductInput& x, const kernels::PackedMatrix& weight, Span rows,
              Span panels, const ProductOutput& output, const kernels::Meanwhile& meanwhile = {});
// Adds columns [first, first + columns) of a linear's bias, if it has one, to rows so many floats apart.
void add_bias(const Context& context, const Linear& linear, int64_t first, int64_t columns, int64_t rows, float* tile,
              int64_t stride);
// Fills what product_input has made room for (nothing to do for float32).
void round_rows(const Context& context, const ProductInput& input, DType dtype, const float* x, int64_t ldx,
                int64_t columns, Span rows);

}  // namespace moxie::moe
