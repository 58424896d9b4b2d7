// The down projection's z, which is made of h as the blocks of ffn columns are made.
#pragma once

#include "moe/dispatch.h"

namespace moxie::moe {

// Of a range's down input: rows of z that belong to a set, and panels of its A.
struct SetPart {
  int32_t set = 0;
  Span z_rows{0, 0};
  Span panels{0, 0};
};

struct HiddenPart {
  const float* first = nullptr;  // at the blocks' columns
  int64_t ld = 0;
  const int32_t* rows_of = nullptr;  // which rows, or NULL: 0, 1, ...
};

// The blocks' parts of z, from the rows' h in the blocks' columns.
void shrink_blocks(const Context& context, const RangeWork& range, const SetPart& part, Span blocks,
                   const HiddenPart& h);

}  // namespace moxie::moe
