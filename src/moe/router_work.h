// One router's work in a call: logits, then decisions.
#pragma once

#include <cstdint>
#include <span>

#include "adapter/adapter.h"
#include "engine/engine.h"
#include "moe/decide.h"
#include "moe/routing_plan.h"
#include "moe/tiling.h"

namespace moxie::moe {

// Rows of one sequence within a call, for routers whose capacity counts per sequence.
struct SequenceRows {
  int64_t begin = 0, end = 0;  // rows of the call
  int64_t* served = nullptr;   // [experts] rows of this sequence that chose each expert before; NULL: none did
  int32_t* chosen = nullptr;   // [end - begin] receives the experts chosen, capacity or not; NULL: not wanted
};

// A router over rows [begin, begin + rows) of a call. Memory is the workspace's.
struct RouterWork {
  const char* name = nullptr;  // as mox_routing_router_name gives it
  const adapter::Router* router = nullptr;
  RouterSettings settings;
  int64_t begin = 0, rows = 0;
  int32_t places = 0;
  float* logits = nullptr;                // [rows, experts]
  int32_t* experts = nullptr;             // [rows, places]
  float* weights = nullptr;               // [rows, places]
  const RouterDecision* given = nullptr;  // the caller's plan decides
};

RouterSettings settings_of(const adapter::Router& router);

RouterWork make_router_work(Workspace& workspace, const char* name, const adapter::Router& router, int64_t begin,
                            int64_t rows, const RouterDecision* given);

// Logits of some of the work's rows, from the call's rows x (row 0 of the call).
void compute_logits(const Context& context, const RouterWork& work, const float* x, int64_t ldx, Span rows);

// Experts and weights of all rows. Error naming the row where a logit is not finite. sequences: of the whole call,
// ascending; needed by switch routers only.
void decide(const RouterWork& work, std::span<const SequenceRows> sequences);

// The same for some rows of a router that knows no capacity.
void decide_rows(const RouterWork& work, Span rows);

// A dense row of weights: [experts], zero where not chosen.
void scatter_weights(const RouterWork& work, int64_t row, float* dense);

RouterDecision keep(const RouterWork& work);

// Adds a router's decision to what is kept of a range.
void append(RangeRouting* range, const RouterWork& work);

// The decision of a given plan for one router of a range, checked against what the call needs. NULL plan: NULL.
const RouterDecision* given_decision(const RangeRouting* plan, size_t router_index, const adapter::Router& router,
                                     int64_t rows, int64_t range_index);

}  // namespace moxie::moe
