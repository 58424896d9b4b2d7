// Grouped-query attention (arXiv 2305.13245) of a call's rows over their sequences' caches.
#pragma once

#include "transformer/block.h"

namespace moxie::transformer {

// Turns queries and keys by their positions, in place.
//   q [rows][ldq], k [rows][ldk]
void turn(const Context& context, const Geometry& geometry, const Steps& steps, float* q, int64_t ldq, float* k,
          int64_t ldk);

// Writes keys and values behind what the sequences hold in `layer`.
void remember(const Context& context, const Geometry& geometry, int64_t layer, const Steps& steps, const float* k,
              const float* v, int64_t ld);

// out[row] = softmax(q k / sqrt(head_dim)) v over the rows each row may see: itself and those before it in its
// sequence, at most `window` (0: all). out [rows][ldo]
void attend(const Context& context, const Geometry& geometry, int64_t layer, int64_t window, const Steps& steps,
            const float* q, int64_t ldq, float* out, int64_t ldo);

}  // namespace moxie::transformer
