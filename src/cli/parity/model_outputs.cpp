#include "cli/parity/model_outputs.h"

#include <algorithm>
#include <cmath>

namespace moxie::cli::parity {
namespace {

constexpr int64_t kNotCounted = -100;

double surprise(const float* logits, int64_t vocabulary, int64_t token) {
  const double largest = *std::max_element(logits, logits + vocabulary);
  double sum = 0;
  for (int64_t i = 0; i < vocabulary; ++i) sum += std::exp(logits[i] - largest);
  return std::log(sum) + largest - logits[token];
}

}  // namespace

int32_t likeliest(const float* logits, int64_t vocabulary) {
  return static_cast<int32_t>(std::max_element(logits, logits + vocabulary) - logits);
}

double cross_entropy(const CaseSequence* sequences, size_t count, int64_t vocabulary) {
  double sum = 0;
  int64_t counted = 0;
  for (const auto* sequence = sequences; sequence != sequences + count; ++sequence) {
    for (int64_t row = 1; row < static_cast<int64_t>(sequence->labels.size()); ++row) {
      const int64_t label = sequence->labels[static_cast<size_t>(row)];
      if (label == kNotCounted) continue;
      const int64_t before = row - 1 - sequence->first;  // the row that predicts it
      if (label < 0 || label >= vocabulary) throw NotRun("labels hold " + std::to_string(label));
      if (before < 0 || before >= static_cast<int64_t>(sequence->tokens.size())) {
        throw NotRun("labels count a token that a padding row would predict");
      }
      sum += surprise(sequence->logits.data() + before * vocabulary, vocabulary, label);
      ++counted;
    }
  }
  return sum / static_cast<double>(counted);
}

RoutingRows range_rows(const Routing& routing, int64_t first, int64_t count) {
  RoutingRows rows;
  for (int64_t layer = 0; layer < mox_routing_layers(routing.get()); ++layer) {
    for (int32_t router = 0; router < router_count(routing, layer, first); ++router) {
      for (int64_t step = first; step < first + count; ++step) rows.append(routing, layer, step, router);
    }
  }
  return rows;
}

int64_t range_routers(const Routing& routing, int64_t first) {
  int64_t routers = 0;
  for (int64_t layer = 0; layer < mox_routing_layers(routing.get()); ++layer) {
    routers += router_count(routing, layer, first);
  }
  return routers;
}

}  // namespace moxie::cli::parity
