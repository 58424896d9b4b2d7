// The rotary embedding's part of a configuration.
#pragma once

#include "checkpoint/architecture.h"
#include "checkpoint/families/family.h"
#include "checkpoint/json.h"

namespace moxie::checkpoint {

// head_dim and max_positions are those already resolved.
Rope read_rope(const Fields& fields, const Family& family, int64_t head_dim, int64_t max_positions);

}  // namespace moxie::checkpoint
