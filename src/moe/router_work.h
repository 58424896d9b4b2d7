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
  float* scratch = nullptr;               // [rows, experts] where there are too many experts for the stack
  int64_t* served = nullptr;              // switch: [experts] for the sequence that is looked at
  const RouterDecision* given = nullptr;  // the caller's plan decides
};

RouterSettings settings_of(const adapter::Router& router);

RouterWork make_router_work(Workspace& workspace, const char* name, const adapter::Router& router, int64_t begin,
                            int64_t rows, const RouterDecision* given);

// Logits of some of the work's rows and experts, from the call's rows x (row 0 of the call).
void compute_logits(const Context& context, const RouterWork& work, const float* x, int64_t ldx, Span rows,
                    Span experts);

constexpr int64_t decision_rows = 64;  // rows that one task decides upon

// Experts and weights of some rows, capacity not looked at. Error naming the row where a logit is not finite.
void decide_rows(const RouterWork& work, Span rows);

// Whether rows are in each other's way: apply_capacity must follow once all rows are decided upon.
bool has_capacity(const RouterWork& work);
// Takes the expert from rows that come too late in their sequence. sequences: of the whole call, ascending.
void apply_capacity(const RouterWork& work, std::span<const SequenceRows> sequences);

RouterDecision keep(const RouterWork& work);

// Adds a router's decision to what is kept of a range.
void append(RangeRouting* range, const RouterWork& work);

// The decision of a given plan for one router of a range, checked against what the call needs. NULL plan: NULL.
const RouterDecision* given_decision(const RangeRouting* plan, size_t router_index, const adapter::Router& router,
                                     int64_t rows, int64_t range_index);

}  // namespace moxie::moe
