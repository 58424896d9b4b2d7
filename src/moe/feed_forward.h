// The feed-forward: dense, or a bank of experts, under any mix of adapters.
#pragma once

#include <optional>
#include <span>
#include <vector>

#include "moe/linear.h"
#include "moe/router_work.h"

namespace moxie::moe {

// The linears of one expert. A plain (not gated) feed-forward has no `up`.
struct Expert {
  Linear gate, up, down;
};

// The frozen base. A dense feed-forward is a bank of one expert that every row is sent to with weight 1.
struct FeedForward {
  int64_t hidden = 0, ffn = 0;
  mox_activation activation = MOX_ACTIVATION_SILU;
  bool gated = true;
  std::vector<Expert> experts;
  std::optional<adapter::Router> router;  // a bank's

  [[nodiscard]] DType weights() const { return experts.front().gate.weight.dtype(); }
  [[nodiscard]] int64_t weight_bytes() const;
  [[nodiscard]] int64_t compact_bytes() const;  // what of them is held compact
};

struct FeedForwardRange {
  int64_t begin = 0, end = 0;
  const adapter::FeedForwardAdapter* adapter = nullptr;  // NULL: the plain base
};

struct FeedForwardCall {
  const float* x = nullptr;  // [rows][ldx]
  int64_t ldx = 0;
  int64_t rows = 0;
  float* y = nullptr;  // [rows][ldy], ldy at least hidden padded to 32; NULL: only route
  int64_t ldy = 0;
  std::span<const FeedForwardRange> ranges;   // in row order, covering all rows once
  std::span<const SequenceRows> sequences;    // in row order; needed where a switch router is
  std::span<const RangeRouting* const> plan;  // one for each range, or empty: the routers decide
  std::span<RangeRouting*> kept;              // one for each range, or empty: what was decided is not wanted
};

// y = the feed-forward of x. Error where a router meets figures it cannot decide on; y may have been written by then.
void run_feed_forward(const Context& context, const FeedForward& base, const FeedForwardCall& call);

}  // namespace moxie::moe
