// Grouped-query attention (arXiv 2305.13245) of a call's rows over their sequences' caches.
#pragma once

#include "transformer/block.h"

namespace moxie::transformer {

// Turns queries and keys by their positions; writes keys and values behind what the sequences hold in `layer`.
//   q [rows][ldq], k and v [rows][ldk]
//   queries  [kv_heads][rows][heads / kv_heads][head_dim]: receives the turned queries
void remember(const Context& context, const Geometry& geometry, int64_t layer, const Steps& steps, const float* q,
              int64_t ldq, const float* k, const float* v, int64_t ldk, float* queries);

// out[row] = softmax(q k / sqrt(head_dim)) v over the rows each row may see: itself and those before it in its
// sequence, at most `window` (0: all). queries as above, out [rows][ldo]
void attend(const Context& context, const Geometry& geometry, int64_t layer, int64_t window, const Steps& steps,
            const float* queries, float* out, int64_t ldo);

}  // namespace moxie::transformer
