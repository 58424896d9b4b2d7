// Kind `model`: what is computed from the logits and routing of one range.
#pragma once

#include "cli/parity/kinds.h"
#include "cli/parity/routing_rows.h"

namespace moxie::cli::parity {

// One sequence of a case, without its padding.
struct CaseSequence {
  int64_t first = 0;  // padding rows before it
  std::vector<int32_t> tokens;
  std::vector<int64_t> labels;  // of all rows, padding too; empty where the case has none
  std::vector<float> logits;    // [tokens, vocabulary]
  std::vector<int32_t> greedy;  // the likeliest tokens that follow
};

// Of equals the lower id.
int32_t likeliest(const float* logits, int64_t vocabulary);

// Mean over the rows of a range whose next label counts of -ln softmax(logits)[label].
double cross_entropy(const CaseSequence* sequences, size_t count, int64_t vocabulary);

// Router rows of one range, layer after layer, in it router after router, in it sequence after sequence. The range's
// sequences are the steps first .. first + count - 1.
RoutingRows range_rows(const Routing& routing, int64_t first, int64_t count);

// Routers of all layers together, each of which counts as a layer of the loss.
int64_t range_routers(const Routing& routing, int64_t first);

}  // namespace moxie::cli::parity
