// The stages of a feed-forward call, in the order in which they run. Each is one list of tasks for the team.
#pragma once

#include "moe/dispatch.h"
#include "moe/linears.h"
#include "moe/pending.h"

namespace moxie::moe {

// What the stages share.
struct Stages {
  const Context& context;
  const FeedForward& base;
  const FeedForwardCall& call;
  std::span<RangeWork> ranges;
  Entries entries;
  HiddenRows hidden;
  ProductInput x;  // rows of the call, or of the entries where gathered
  ProductInput h;  // input of the down projection: the h rows, in the weights' dtype
};

// Gate and up products, the adapters' additions, the activation, the weights: one pass over (rows, columns of ffn).
void run_gate_up(Stages& stages);

// Sums the down projection's partial z, and lets its plug-in routers decide.
void finish_down_inputs(const Stages& stages);

// Down products with the adapters' additions, and the sum over experts.
void run_down(const Stages& stages);

}  // namespace moxie::moe
