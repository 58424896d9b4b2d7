#include <algorithm>
#include <cmath>
#include <limits>

#include "api/call.h"
#include "api/handles.h"

using moxie::api::guard;

namespace {

using moxie::api::most_experts;

constexpr int32_t most_routers = 64;

const moxie::moe::RangeRouting& range_of(const mox_routing* routing, int64_t layer, int64_t range) {
  moxie::api::require_not_null(routing, "routing");
  const auto& layers = routing->plan.layers;
  if (layer < 0 || layer >= static_cast<int64_t>(layers.size())) {
    throw moxie::invalid_argument("layer is " + std::to_string(layer) + "; the plan has " +
                                  std::to_string(layers.size()));
  }
  const auto& ranges = layers[static_cast<size_t>(layer)].ranges;
  if (range < 0 || range >= static_cast<int64_t>(ranges.size())) {
    throw moxie::invalid_argument("range is " + std::to_string(range) + "; the plan has " +
                                  std::to_string(ranges.size()));
  }
  return ranges[static_cast<size_t>(range)];
}

void check_row(const mox_routing_choice& choice, int64_t row, const std::string& where) {
  const int32_t* ids = choice.expert_ids + row * choice.places;
  const float* weights = choice.weights + row * choice.places;
  for (int32_t place = 0; place < choice.places; ++place) {
    const std::string cell = "[" + std::to_string(row) + "][" + std::to_string(place) + "]";
    if (ids[place] < -1 || ids[place] >= choice.experts) {
      throw moxie::invalid_argument(where + ".expert_ids" + cell + " is " + std::to_string(ids[place]) +
                                    "; expected -1 to " + std::to_string(choice.experts - 1));
    }
    if (!std::isfinite(weights[place])) {
      throw moxie::invalid_argument(where + ".weights" + cell + " is not finite");
    }
    if (ids[place] >= 0 && std::find(ids, ids + place, ids[place]) != ids + place) {
      throw moxie::invalid_argument(where + ".expert_ids" + cell + ": expert " + std::to_string(ids[place]) +
                                    " stands twice in the row");
    }
  }
}

moxie::moe::RangeRouting take(const mox_routing_choice& choice, const std::string& where) {
  if (choice.rows < 0 || choice.routers < 0) {
    throw moxie::invalid_argument(where + ": rows is " + std::to_string(choice.rows) + " and routers is " +
                                  std::to_string(choice.routers) + "; expected 0 or more");
  }
  moxie::moe::RangeRouting range;
  range.rows = choice.rows;
  if (choice.routers == 0) return range;
  if (choice.rows > INT32_MAX || choice.routers > most_routers || choice.experts > most_experts) {
    throw moxie::invalid_argument(where + ": " + std::to_string(choice.rows) + " rows, " +
                                  std::to_string(choice.routers) + " routers, " + std::to_string(choice.experts) +
                                  " experts; expected at most " + std::to_string(INT32_MAX) + ", " +
                                  std::to_string(most_routers) + ", " + std::to_string(most_experts));
  }
  if (choice.experts < 1 || choice.places < 1 || choice.places > choice.experts) {
    throw moxie::invalid_argument(where + ": " + std::to_string(choice.places) + " places of " +
                                  std::to_string(choice.experts) + " experts; expected 1 to experts places");
  }
  if (choice.rows > 0) {
    moxie::api::require_not_null(choice.expert_ids, where + ".expert_ids");
    moxie::api::require_not_null(choice.weights, where + ".weights");
  }
  for (int64_t row = 0; row < choice.rows * choice.routers; ++row) check_row(choice, row, where);
  range.experts = choice.experts;
  range.places = choice.places;
  const int64_t cells = choice.rows * choice.places;
  for (int32_t router = 0; router < choice.routers; ++router) {
    moxie::moe::RouterDecision decision;
    decision.name = "given " + std::to_string(router);
    decision.logits.assign(static_cast<size_t>(choice.rows * choice.experts), std::numeric_limits<float>::quiet_NaN());
    decision.experts.assign(choice.expert_ids + router * cells, choice.expert_ids + (router + 1) * cells);
    decision.weights.assign(choice.weights + router * cells, choice.weights + (router + 1) * cells);
    range.routers.push_back(std::move(decision));
  }
  return range;
}

}  // namespace

int64_t mox_routing_layers(const mox_routing* routing) {
  return routing == nullptr ? 0 : static_cast<int64_t>(routing->plan.layers.size());
}

int64_t mox_routing_ranges(const mox_routing* routing) {
  return routing == nullptr || routing->plan.layers.empty()
             ? 0
             : static_cast<int64_t>(routing->plan.layers.front().ranges.size());
}

mox_status mox_routing_describe(const mox_routing* routing, int64_t layer, int64_t range, mox_routing_info* info,
                                mox_error* error) {
  return guard(error, [&] {
    const moxie::moe::RangeRouting& of_range = range_of(routing, layer, range);
    mox_routing_info found{};
    found.rows = of_range.rows;
    found.routers = static_cast<int32_t>(of_range.routers.size());
    found.experts = of_range.experts;
    found.places = of_range.places;
    moxie::api::write_struct(info, found, "mox_routing_info");
  });
}

mox_status mox_routing_router_name(const mox_routing* routing, int64_t layer, int64_t range, int32_t router,
                                   const char** name, mox_error* error) {
  return guard(error, [&] {
    const moxie::moe::RangeRouting& of_range = range_of(routing, layer, range);
    moxie::api::require_not_null(name, "name");
    if (router < 0 || router >= static_cast<int32_t>(of_range.routers.size())) {
      throw moxie::invalid_argument("router is " + std::to_string(router) + "; the range has " +
                                    std::to_string(of_range.routers.size()));
    }
    *name = of_range.routers[static_cast<size_t>(router)].name.c_str();
  });
}

mox_status mox_routing_read(const mox_routing* routing, int64_t layer, int64_t range, float* logits, int32_t* experts,
                            float* weights, mox_error* error) {
  return guard(error, [&] {
    for (const moxie::moe::RouterDecision& decision : range_of(routing, layer, range).routers) {
      if (logits != nullptr) logits = std::copy(decision.logits.begin(), decision.logits.end(), logits);
      if (experts != nullptr) experts = std::copy(decision.experts.begin(), decision.experts.end(), experts);
      if (weights != nullptr) weights = std::copy(decision.weights.begin(), decision.weights.end(), weights);
    }
  });
}

mox_status mox_routing_create(const mox_routing_choice* choices, size_t choice_count, mox_routing** routing,
                              mox_error* error) {
  return guard(error, [&] {
    moxie::api::require_not_null(routing, "routing");
    if (choice_count > 0) moxie::api::require_not_null(choices, "choices");
    auto handle = std::make_unique<mox_routing>();
    handle->plan.layers.resize(1);
    for (size_t i = 0; i < choice_count; ++i) {
      handle->plan.layers.front().ranges.push_back(take(choices[i], "choices[" + std::to_string(i) + "]"));
    }
    *routing = handle.release();
  });
}

void mox_routing_free(mox_routing* routing) { delete routing; }
