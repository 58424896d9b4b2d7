#include "moe/router_work.h"

#include <algorithm>
#include <array>
#include <limits>
#include <string>
#include <vector>

#include "runtime/error.h"

namespace moxie::moe {
namespace {

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

void decide_switch(const RouterWork& work, std::span<const SequenceRows> sequences) {
  decide_rows(work, {0, work.rows});
  std::vector<int64_t> fresh(static_cast<size_t>(work.settings.experts));
  for (const SequenceRows& sequence : sequences) {
    const int64_t begin = std::max(sequence.begin, work.begin) - work.begin;
    const int64_t end = std::min(sequence.end, work.begin + work.rows) - work.begin;
    if (begin >= end) continue;
    int64_t* served = sequence.served;
    if (served == nullptr) {
      std::fill(fresh.begin(), fresh.end(), 0);
      served = fresh.data();
    }
    if (sequence.chosen != nullptr) std::copy(work.experts + begin, work.experts + end, sequence.chosen);
    apply_capacity(work.router->capacity, end - begin, work.experts + begin, served);
  }
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
  work.given = given;
  return work;
}

void compute_logits(const Context& context, const RouterWork& work, const float* x, int64_t ldx, Span rows) {
  if (work.given != nullptr) return;
  const int64_t experts = work.settings.experts;
  context.small().router(x + (work.begin + rows.begin) * ldx, ldx, rows.size(), work.router->gate.data(),
                         work.router->in, experts, work.router->in, work.logits + rows.begin * experts, experts);
}

void decide_rows(const RouterWork& work, Span rows) {
  if (work.given != nullptr) {
    copy_given(work, rows);
    return;
  }
  constexpr int32_t few = 512;
  std::array<float, few> on_stack;
  std::vector<float> on_heap(work.settings.experts > few ? static_cast<size_t>(work.settings.experts) : 0);
  float* scratch = on_heap.empty() ? on_stack.data() : on_heap.data();
  for (int64_t row = rows.begin; row < rows.end; ++row) {
    require_finite(work, row);
    decide_row(work.settings, work.logits + row * work.settings.experts, work.experts + row * work.places,
               work.weights + row * work.places, scratch);
  }
}

void decide(const RouterWork& work, std::span<const SequenceRows> sequences) {
  if (work.settings.kind == MOX_ROUTER_SWITCH && work.given == nullptr) {
    decide_switch(work, sequences);
  } else {
    decide_rows(work, {0, work.rows});
  }
}

void scatter_weights(const RouterWork& work, int64_t row, float* dense) {
  std::fill_n(dense, work.settings.experts, 0.0F);
  for (int32_t place = 0; place < work.places; ++place) {
    const int32_t expert = work.experts[row * work.places + place];
    if (expert >= 0) dense[expert] = work.weights[row * work.places + place];
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
  const std::string where = "the plan's range " + std::to_string(range_index);
  if (plan->rows != rows) {
    throw invalid_argument(where + " has " + std::to_string(plan->rows) + " rows; the batch's has " +
                           std::to_string(rows));
  }
  if (router_index >= plan->routers.size()) {
    throw invalid_argument(where + " has " + std::to_string(plan->routers.size()) +
                           " routers; the range's adapter or base has more");
  }
  const int32_t expected = places(settings_of(router));
  if (plan->experts != router.experts || plan->places != expected) {
    throw invalid_argument(where + " chooses " + std::to_string(plan->places) + " of " + std::to_string(plan->experts) +
                           " experts; expected " + std::to_string(expected) + " of " + std::to_string(router.experts));
  }
  return &plan->routers[router_index];
}

}  // namespace moxie::moe
