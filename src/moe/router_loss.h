// What a router adds to a training loss, and how it shares out the rows: in float64, by the layers' own decisions.
#pragma once

#include <cstdint>

#include "moxie/router_loss.h"

namespace moxie::moe {

// The checks both make: sizes, settings of the strategy, mask. Logits are checked where they are read.
void check_router_loss_options(const mox_router_loss_options& options, int64_t row_count);

// Error where the strategy has no loss, or a row that counts holds a NaN or infinity.
double router_loss(const mox_router_loss_options& options, const float* logits, int64_t row_count);

// profile [layers, experts]
void router_profile(const mox_router_loss_options& options, const float* logits, int64_t row_count, double* profile);

}  // namespace moxie::moe
