// Which experts the tokens of a text go to.
#pragma once

#include <string>
#include <vector>

#include "cli/loaded_model.h"
#include "cli/windows.h"

namespace moxie::cli {

// One router in one layer.
struct RouterUsage {
  int64_t layer = 0;
  std::string router;
  bool takes_all = false;      // every expert serves every token, and only the weights differ
  std::vector<double> share;   // of the tokens that went to each expert
  std::vector<double> weight;  // mean over all tokens of the weight each expert had
};

// Empty where nothing routes.
std::vector<RouterUsage> measure_usage(const LoadedModel& loaded, const mox_adapter* adapter, const Windows& windows);

}  // namespace moxie::cli
