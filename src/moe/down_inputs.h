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

// The blocks' parts of z, from the rows' h in the blocks' columns.
void shrink_blocks(const Context& context, const RangeWork& range, const SetPart& part, Span blocks, const float* h,
                   int64_t ldh);

}  // namespace moxie::moe
