#include "moe/router_work.h"

#include <algorithm>
#include <array>
#include <limits>
#include <string>

#include "runtime/error.h"

namespace moxie::moe {
namespace {

constexpr int32_t most_on_stack = 1024;  // experts whose scores a deciding thread keeps there

void require_finite(const RouterWork& work, int64_t row) {
  const float* logits = work.logits + row * work.settings.experts;
  if (finite(logits, work.settings.experts)) return;
  int32_t expert = 0;
  while (std::isfinite(logits[expert])) ++expert;
  throw Error(MOX_NUMERIC, "router " + std::string(work.name) + ", row " + std::to_string(work.begin + row) +
                               ": the logit of expert " + std::to_string(expert) + " is " +
                               std::to_string(logits[expert]) +
                               "; a decision needs finite figures (is the input finite?)");
}

void copy_given(const RouterWork& work, Span rows) {
  const auto experts = static_cast<int64_t>(work.settings.experts);
  std::fill(work.logits + rows.begin * experts, work.logits + rows.end * experts,
            std::numeric_limits<float>::quiet_NaN());
  std::copy_n(work.given->experts.data() + rows.begin * work.places, rows.size() * work.places,
              work.experts + rows.begin * work.places);
  std::copy_n(work.given->weights.data() + rows.begin * work.places, rows.size() * work.places,
              work.weights + rows.begin * work.places);
}

}  // namespace

RouterSettings settings_of(const adapter::Router& router) {
  return {router.kind, router.experts, router.top_k, router.top_p, router.temperature};
}

RouterWork make_router_work(Workspace& workspace, const char* name, const adapter::Router& router, int64_t begin,
                            int64_t rows, const RouterDecision* given) {
  RouterWork work;
  work.name = name;
  work.router = &router;
  work.settings = settings_of(router);
  work.begin = begin;
  work.rows = rows;
  work.places = places(work.settings);
  work.logits = workspace.take<float>(rows * router.experts);
  work.experts = workspace.take<int32_t>(rows * work.places);
  work.weights = workspace.take<float>(rows * work.places);
  if (router.experts > most_on_stack) work.scratch = workspace.take<float>(rows * router.experts);
  if (router.kind == MOX_ROUTER_SWITCH) work.served = workspace.take<int64_t>(router.experts);
  work.given = given;
  return work;
}

void compute_logits(const Context& context, const RouterWork& work, const float* x, int64_t ldx, Span rows,
                    Span experts) {
  if (work.given != nullptr) return;
  const adapter::Router& router = *work.router;
  context.small().router(x + (work.begin + rows.begin) * ldx, ldx, rows.size(), router.gate_row(experts.begin),
                         router.in, experts.size(), router.in,
                         work.logits + rows.begin * router.experts + experts.begin, router.experts);
}

void decide_rows(const RouterWork& work, Span rows) {
  if (work.given != nullptr) {
    copy_given(work, rows);
    return;
  }
  const int64_t experts = work.settings.experts;
  std::array<float, most_on_stack> on_stack;
  for (int64_t row = rows.begin; row < rows.end; ++row) {
    require_finite(work, row);
    decide_row(work.settings, work.logits + row * experts, work.experts + row * work.places,
               work.weights + row * work.places,
               work.scratch == nullptr ? on_stack.data() : work.scratch + row * experts);
  }
}

bool has_capacity(const RouterWork& work) {
  return work.router != nullptr && work.settings.kind == MOX_ROUTER_SWITCH && work.given == nullptr;
}

void apply_capacity(const RouterWork& work, std::span<const SequenceRows> sequences) {
  for (const SequenceRows& sequence : sequences) {
    const int64_t begin = std::max(sequence.begin, work.begin) - work.begin;
    const int64_t end = std::min(sequence.end, work.begin + work.rows) - work.begin;
    if (begin >= end) continue;
    int64_t* served = sequence.served;
    if (served == nullptr) {
      served = work.served;
      std::fill_n(served, work.settings.experts, 0);
    }
    if (sequence.chosen != nullptr) std::copy(work.experts + begin, work.experts + end, sequence.chosen);
    apply_capacity(work.router->capacity, end - begin, work.experts + begin, served);
  }
}

RouterDecision keep(const RouterWork& work) {
  RouterDecision decision;
  decision.name = work.name;
  decision.logits.assign(work.logits, work.logits + work.rows * work.settings.experts);
  decision.experts.assign(work.experts, work.experts + work.rows * work.places);
  decision.weights.assign(work.weights, work.weights + work.rows * work.places);
  return decision;
}

void append(RangeRouting* range, const RouterWork& work) {
  if (!range->routers.empty() && (range->experts != work.settings.experts || range->places != work.places)) {
    throw unsupported("routing of a range whose routers differ (" + range->routers.back().name + ": " +
                      std::to_string(range->experts) + " experts, " + work.name + ": " +
                      std::to_string(work.settings.experts) + ") cannot be read out; ask without routing");
  }
  range->experts = work.settings.experts;
  range->places = work.places;
  range->routers.push_back(keep(work));
}

const RouterDecision* given_decision(const RangeRouting* plan, size_t router_index, const adapter::Router& router,
                                     int64_t rows, int64_t range_index) {
  if (plan == nullptr) return nullptr;
  const auto refusal = [range_index](const std::string& what) {
    return invalid_argument("the plan's range " + std::to_string(range_index) + what);
  };
  if (plan->rows != rows) {
    throw refusal(" has " + std::to_string(plan->rows) + " rows; the batch's has " + std::to_string(rows));
  }
  if (router_index >= plan->routers.size()) {
    throw refusal(" has " + std::to_string(plan->routers.size()) + " routers; the range's adapter or base has more");
  }
  const int32_t expected = places(settings_of(router));
  if (plan->experts != router.experts || plan->places != expected) {
    throw refusal(" chooses " + std::to_string(plan->places) + " of " + std::to_string(plan->experts) +
                  " experts; expected " + std::to_string(expected) + " of " + std::to_string(router.experts));
  }
  return &plan->routers[router_index];
}

}  // namespace moxie::moe
