// One feed-forward over a case's hidden states: what the kinds feed_forward and moe_layer share.
#pragma once

#include "cli/parity/kinds.h"

namespace moxie::cli::parity {

// hidden_states and, of every range that routes, router_logits.R, experts.R and weights.R.
Values run_hidden_states(const Case& c, const FeedForward& feed_forward);

}  // namespace moxie::cli::parity
