#include "moe/feed_forward.h"

#include <algorithm>
#include <cstddef>
#include <cstring>
#include <string>

#include "moe/lora_delta.h"
#include "moe/stages.h"
#include "runtime/error.h"

namespace moxie::moe {
namespace {

const RangeRouting* plan_of(const FeedForwardCall& call, size_t range) {
  return call.plan.empty() ? nullptr : call.plan[range];
}

// The routers of a range come in the order in which a plan lists them.
RangeWork make_range(Workspace& workspace, const FeedForward& base, const FeedForwardCall& call, size_t index) {
  const FeedForwardRange& range = call.ranges[index];
  const RangeRouting* plan = plan_of(call, index);
  RangeWork work;
  work.adapter = range.adapter;
  work.begin = range.begin;
  work.rows = range.end - range.begin;
  size_t routers = 0;
  auto given = [&](const adapter::Router& router) {
    return given_decision(plan, routers++, router, work.rows, static_cast<int64_t>(index));
  };
  auto given_for = [&](const std::optional<adapter::LoraSets>& sets) -> const RouterDecision* {
    return sets && sets->router ? given(*sets->router) : nullptr;
  };

  const adapter::Router* router = base.router ? &*base.router : nullptr;
  if (work.mixlora()) router = &*work.adapter->router;
  if (router != nullptr) {
    work.router = make_router_work(workspace, "mlp", *router, work.begin, work.rows, given(*router));
  }
  if (work.adapter != nullptr) {
    const adapter::FeedForwardAdapter& adapter = *work.adapter;
    if (!work.mixlora()) {
      work.gate = make_lora_input(workspace, "gate_proj", adapter.gate, work.begin, work.rows, given_for(adapter.gate));
    }
    if (adapter.down) {
      work.down = &*adapter.down;
      if (adapter.down->router) {
        work.down_router = make_router_work(workspace, "down_proj", *adapter.down->router, work.begin, work.rows,
                                            given(*adapter.down->router));
      }
    }
    if (!work.mixlora()) {
      work.up = make_lora_input(workspace, "up_proj", adapter.up, work.begin, work.rows, given_for(adapter.up));
    }
  }
  if (plan != nullptr && routers != plan->routers.size()) {
    throw invalid_argument("the plan's range " + std::to_string(index) + " has " +
                           std::to_string(plan->routers.size()) + " routers; the range's adapter and base have " +
                           std::to_string(routers));
  }
  return work;
}

// Everything that depends on x alone: routers, z of gate and up, x in the weights' dtype.
void run_inputs(const Context& context, const FeedForward& base, const FeedForwardCall& call,
                std::span<const RangeWork> ranges, const ProductInput& rounded) {
  auto tasks = context.workspace.list<InputTask>();
  for (const RangeWork& range : ranges) {
    if (range.router.router != nullptr) add_tasks(&tasks, range.router);
    add_tasks(&tasks, range.gate);
    add_tasks(&tasks, range.up);
  }
  const auto count = static_cast<int64_t>(tasks.size());
  const int64_t roundings = base.weights() == MOX_F32 ? 0 : divide_up(call.rows, copied_rows);
  context.team.run(count + roundings, [&](int64_t index, int) {
    if (index < count) {
      run_task(context, tasks[static_cast<size_t>(index)], call.x, call.ldx);
    } else {
      round_rows(context, rounded, base.weights(), call.x, call.ldx, base.hidden,
                 part(index - count, copied_rows, call.rows));
    }
  });
}

// Decisions, and z weighed by them. A router's capacity comes last: it counts rows across tasks.
void decide_inputs(const Context& context, const FeedForwardCall& call, std::span<const RangeWork> ranges) {
  struct Task {
    const RangeWork* range;
    Span rows;
  };
  auto tasks = context.workspace.list<Task>();
  auto counting = context.workspace.list<const RouterWork*>();
  for (const RangeWork& range : ranges) {
    if (range.router.router == nullptr && !range.gate.routes() && !range.up.routes()) continue;
    for (int64_t i = 0; i < divide_up(range.rows, decision_rows); ++i) {
      tasks.push_back({&range, part(i, decision_rows, range.rows)});
    }
    if (has_capacity(range.router)) counting.push_back(&range.router);
  }
  context.team.run(static_cast<int64_t>(tasks.size()), [&](int64_t index, int) {
    const Task& task = tasks[static_cast<size_t>(index)];
    if (task.range->router.router != nullptr) decide_rows(task.range->router, task.rows);
    for (const LoraInput* input : {&task.range->gate, &task.range->up}) {
      if (!input->routes()) continue;
      decide_rows(input->router, task.rows);
      if (!input->waits()) weigh(*input, task.rows);
    }
  });
  context.team.run(static_cast<int64_t>(counting.size()),
                   [&](int64_t index, int) { apply_capacity(*counting[static_cast<size_t>(index)], call.sequences); });
}

// z of gate and up where rows choose experts (MixLoRA, MoLA): only those that were chosen make it.
void run_expert_inputs(const Context& context, const FeedForwardCall& call, std::span<RangeWork> ranges) {
  Workspace& workspace = context.workspace;
  auto tasks = workspace.list<InputTask>();
  for (RangeWork& range : ranges) {
    if (range.mixlora()) {
      range.pairs = make_pairs(workspace, range.router);
      range.gate = make_lora_input(workspace, range.adapter->gate, range.begin, range.rows, range.pairs);
      range.up = make_lora_input(workspace, range.adapter->up, range.begin, range.rows, range.pairs);
    }
    for (LoraInput* input : {&range.gate, &range.up}) {
      if (input->waits()) choose(workspace, input);
      if (input->pairs != nullptr) add_products(&tasks, *input);
    }
  }
  context.team.run(static_cast<int64_t>(tasks.size()),
                   [&](int64_t index, int) { run_task(context, tasks[static_cast<size_t>(index)], call.x, call.ldx); });
}

// What gate and up add for sets with few rows.
void run_gate_up_deltas(const Context& context, std::span<RangeWork> ranges) {
  auto inputs = context.workspace.list<const LoraInput*>();
  for (RangeWork& range : ranges) {
    for (LoraInput* input : {&range.gate, &range.up}) {
      plan_deltas(context.workspace, input);
      inputs.push_back(input);
    }
  }
  make_deltas(context, inputs);
}

// Room for what the gate-up stage makes of h for the down projection.
void make_down_input(Workspace& workspace, const FeedForward& base, RangeWork* range) {
  if (range->down == nullptr) return;
  const int64_t blocks = divide_up(base.ffn, column_block);
  LoraInput& input = range->down_input;
  if (range->mixlora()) {
    input = make_lora_input(workspace, range->adapter->down, range->begin, range->rows, range->pairs);
  } else {
    input = make_lora_input(workspace, *range->down, range->begin, range->rows);
    input.router = range->down_router;
  }
  plan_deltas(workspace, &input);
  const int64_t kept = input.waits() ? range->rows : input.deltas.count;
  range->down_h.ld = row_stride(base.ffn, sizeof(float));
  range->down_h.rows = workspace.take<float>(kept * range->down_h.ld);
  range->z_partial = workspace.take<float>(blocks * input.z_rows * input.ldz);
  if (range->down_router.router != nullptr) {
    range->logits_partial = workspace.take<float>(blocks * range->rows * range->down_router.settings.experts);
  }
}

// Rows of the entries side by side, for experts that take a part of them.
ProductInput gather(const Context& context, const Entries& entries, const ProductInput& from, DType dtype,
                    int64_t columns) {
  const int64_t stride = row_stride(columns, element_size(dtype));
  const auto row_bytes = static_cast<int64_t>(element_size(dtype)) * stride;
  auto* rows = context.workspace.take<std::byte>(entries.count * row_bytes);
  const auto from_bytes = static_cast<int64_t>(element_size(dtype)) * from.stride;
  const auto copied = static_cast<size_t>(columns) * element_size(dtype);
  context.team.run(divide_up(entries.count, copied_rows), [&](int64_t index, int) {
    const Span span = part(index, copied_rows, entries.count);
    for (int64_t i = span.begin; i < span.end; ++i) {
      std::byte* row = rows + i * row_bytes;
      std::memcpy(row, static_cast<const std::byte*>(from.rows) + entries.row[i] * from_bytes, copied);
      std::memset(row + copied, 0, static_cast<size_t>(row_bytes) - copied);
    }
  });
  return {rows, stride};
}

void keep_decisions(const FeedForwardCall& call, std::span<const RangeWork> ranges) {
  for (size_t r = 0; r < call.kept.size(); ++r) {
    const RangeWork& range = ranges[r];
    if (range.router.router != nullptr) append(call.kept[r], range.router);
    if (range.gate.routes()) append(call.kept[r], range.gate.router);
    if (range.down_router.router != nullptr) append(call.kept[r], range.down_router);
    if (range.up.routes()) append(call.kept[r], range.up.router);
  }
}

}  // namespace

int64_t FeedForward::weight_bytes() const {
  size_t bytes = router ? router->gate.bytes() : 0;
  for (const Expert& expert : experts) {
    bytes += expert.gate.weight.bytes() + expert.up.weight.bytes() + expert.down.weight.bytes();
  }
  return static_cast<int64_t>(bytes);
}

int64_t FeedForward::compact_bytes() const {
  size_t bytes = 0;
  for (const Expert& expert : experts) {
    for (const Linear* linear : {&expert.gate, &expert.up, &expert.down}) {
      if (linear->weight.is_compact()) bytes += linear->weight.bytes();
    }
  }
  return static_cast<int64_t>(bytes);
}

void run_feed_forward(const Context& context, const FeedForward& base, const FeedForwardCall& call) {
  Workspace& workspace = context.workspace;
  const DType dtype = base.weights();
  auto ranges = workspace.list<RangeWork>();
  ranges.reserve(call.ranges.size());
  for (size_t r = 0; r < call.ranges.size(); ++r) ranges.push_back(make_range(workspace, base, call, r));

  const ProductInput rounded = product_input(workspace, dtype, call.x, call.ldx, call.rows, base.hidden);
  run_inputs(context, base, call, ranges, rounded);
  decide_inputs(context, call, ranges);

  const bool only_route = call.y == nullptr;
  const bool down_routes = std::any_of(ranges.begin(), ranges.end(),
                                       [](const RangeWork& range) { return range.down_router.router != nullptr; });
  if (!only_route || down_routes) {
    run_expert_inputs(context, call, ranges);
    run_gate_up_deltas(context, ranges);
    for (RangeWork& range : ranges) make_down_input(workspace, base, &range);
    Stages stages{context, base, call, ranges, {}, {}, rounded, {}};
    stages.entries = make_entries(workspace, base, ranges, call.rows);
    stages.hidden = make_hidden_rows(workspace, base, ranges, stages.entries);
    if (call.rows == 1) {
      stages.x.single = true;
    } else if (stages.entries.gathered) {
      stages.x = gather(context, stages.entries, rounded, dtype, base.hidden);
    }
    run_gate_up(stages);
    finish_down_inputs(stages);
    if (!only_route) run_down(stages);
  }
  keep_decisions(call, ranges);
}

}  // namespace moxie::moe
