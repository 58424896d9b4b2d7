// What routers decided, kept beyond the call: the thing behind mox_routing.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace moxie::moe {

// One router's decision over the rows of one range.
struct RouterDecision {
  std::string name;              // "mlp", or the linear's
  std::vector<float> logits;     // [rows, experts]
  std::vector<int32_t> experts;  // [rows, places]
  std::vector<float> weights;    // [rows, places]
};

struct RangeRouting {
  int64_t rows = 0;
  int32_t experts = 0;
  int32_t places = 0;
  std::vector<RouterDecision> routers;
};

struct LayerRouting {
  std::vector<RangeRouting> ranges;  // in the caller's order
};

struct RoutingPlan {
  std::vector<LayerRouting> layers;
};

}  // namespace moxie::moe
