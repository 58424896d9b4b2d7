#include "moe/router_loss.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "moe/decide.h"
#include "runtime/error.h"

namespace moxie::moe {
namespace {

std::string text(int64_t value) { return std::to_string(value); }

void check_sizes(const mox_router_loss_options& options, int64_t row_count) {
  if (options.experts < 1)
    throw invalid_argument("options.experts is " + text(options.experts) + "; expected at least 1");
  if (options.layers < 1) throw invalid_argument("options.layers is " + text(options.layers) + "; expected at least 1");
  if (options.sequences < 1) {
    throw invalid_argument("options.sequences is " + text(options.sequences) + "; expected at least 1");
  }
  if (row_count < 1) throw invalid_argument("row_count is " + text(row_count) + "; expected at least 1");
  if (options.layers > row_count || options.sequences > row_count / options.layers ||
      row_count % (options.layers * options.sequences) != 0) {
    throw invalid_argument("row_count is " + text(row_count) +
                           "; expected a multiple of options.layers * options.sequences (" + text(options.layers) +
                           " * " + text(options.sequences) + ")");
  }
  if (row_count > std::numeric_limits<int64_t>::max() / options.experts / static_cast<int64_t>(sizeof(double))) {
    throw invalid_argument("row_count " + text(row_count) + " times options.experts " + text(options.experts) +
                           " is more than memory can hold");
  }
}

void check_coefficient(double value, const char* name) {
  if (!std::isfinite(value)) {
    throw invalid_argument(std::string("options.") + name + " is " + std::to_string(value) +
                           "; expected a finite number");
  }
}

void check_strategy(const mox_router_loss_options& options) {
  switch (options.kind) {
    case MOX_ROUTER_TOP_K:
    case MOX_ROUTER_MIXLORA:
    case MOX_ROUTER_MOLA:
      if (options.top_k < 1 || options.top_k > options.experts) {
        throw invalid_argument("options.top_k is " + text(options.top_k) + "; expected 1 .. " + text(options.experts) +
                               " (options.experts)");
      }
      return;
    case MOX_ROUTER_DYNAMIC:
      if (!(options.top_p > 0 && options.top_p <= 1)) {
        throw invalid_argument("options.top_p is " + std::to_string(options.top_p) +
                               "; expected a number above 0, at most 1");
      }
      if (!(options.temperature >= 0 && std::isfinite(options.temperature))) {
        throw invalid_argument("options.temperature is " + std::to_string(options.temperature) +
                               "; expected a finite number, 0 or above");
      }
      return;
    case MOX_ROUTER_SWITCH:
    case MOX_ROUTER_LORAMOE:
      return;
  }
  throw invalid_argument("options.kind is " + text(options.kind) + "; expected a mox_router_kind");
}

void check_mask(const mox_router_loss_options& options, int64_t row_count) {
  if (options.mask == nullptr) return;
  const int64_t rows = row_count / options.layers;
  bool any = false;
  for (int64_t row = 0; row < rows; ++row) {
    if (options.mask[row] > 1) {
      throw invalid_argument("options.mask[" + text(row) + "] is " + text(options.mask[row]) +
                             "; expected 1 (a real token) or 0 (padding)");
    }
    any = any || options.mask[row] == 1;
  }
  if (!any) throw invalid_argument("options.mask is 0 throughout its " + text(rows) + " rows; expected a real token");
}

// One call's logits, row by row: those that count, widened.
class Rows {
 public:
  Rows(const mox_router_loss_options& options, const float* logits, int64_t row_count)
      : mask_(options.mask),
        logits_(logits),
        experts_(options.experts),
        rows_per_layer_(row_count / options.layers),
        row_(static_cast<size_t>(options.experts)) {}

  [[nodiscard]] int64_t per_layer() const { return rows_per_layer_; }

  // NULL for padding, which is not looked at: whatever stands there excludes nothing.
  const double* read(int64_t row) {
    if (mask_ != nullptr && mask_[row % rows_per_layer_] == 0) return nullptr;
    const float* source = logits_ + row * experts_;
    for (int32_t e = 0; e < experts_; ++e) {
      if (!std::isfinite(source[e])) {
        throw Error(MOX_NUMERIC, "logits of row " + text(row) + ": " + std::to_string(source[e]) + " for expert " +
                                     text(e) + "; a router decides on finite logits only");
      }
      row_[static_cast<size_t>(e)] = static_cast<double>(source[e]);
    }
    return row_.data();
  }

 private:
  const uint8_t* mask_;
  const float* logits_;
  int32_t experts_;
  int64_t rows_per_layer_;
  std::vector<double> row_;
};

// Decides rows one at a time, in memory of its own.
class Decider {
 public:
  explicit Decider(const mox_router_loss_options& options)
      : settings_{options.kind, options.experts, options.top_k, options.top_p, options.temperature},
        ids_(static_cast<size_t>(places(settings_))),
        weights_(ids_.size()),
        scratch_(static_cast<size_t>(options.experts)) {}

  std::vector<int32_t>& decide(const double* logits) {
    decide_row(settings_, logits, ids_.data(), weights_.data(), scratch_.data());
    return ids_;
  }

 private:
  RouterSettings settings_;
  std::vector<int32_t> ids_;
  std::vector<double> weights_, scratch_;
};

void count(const std::vector<int32_t>& ids, double* chosen) {
  for (const int32_t id : ids) {
    if (id >= 0) chosen[id] += 1;
  }
}

}  // namespace

void check_router_loss_options(const mox_router_loss_options& options, int64_t row_count) {
  check_sizes(options, row_count);
  check_strategy(options);
  check_coefficient(options.balance_coefficient, "balance_coefficient");
  check_coefficient(options.z_coefficient, "z_coefficient");
  check_mask(options, row_count);
}

double router_loss(const mox_router_loss_options& options, const float* logits, int64_t row_count) {
  check_router_loss_options(options, row_count);
  if (options.kind == MOX_ROUTER_LORAMOE) {
    throw unsupported("options.kind is LoRAMoE, which takes every expert and adds no router loss");
  }
  const auto experts = static_cast<size_t>(options.experts);
  Rows rows(options, logits, row_count);
  Decider decider(options);
  std::vector<double> chosen(experts), probabilities(experts), likelihood(experts);
  double counted = 0;
  double z = 0;
  for (int64_t row = 0; row < row_count; ++row) {
    const double* x = rows.read(row);
    if (x == nullptr) continue;
    counted += 1;
    count(decider.decide(x), chosen.data());
    const double sum = detail::exponentials(x, options.experts, probabilities.data());
    for (size_t e = 0; e < experts; ++e) likelihood[e] += probabilities[e] / sum;
    const double log_sum = *std::max_element(x, x + experts) + std::log(sum);
    z += log_sum * log_sum;
  }
  double balance = 0;
  for (size_t e = 0; e < experts; ++e) balance += (chosen[e] / counted) * (likelihood[e] / counted);
  balance *= static_cast<double>(experts);
  const double loss = options.balance_coefficient * balance;
  return options.kind == MOX_ROUTER_SWITCH ? options.z_coefficient * (z / counted) + loss : loss;
}

void router_profile(const mox_router_loss_options& options, const float* logits, int64_t row_count, double* profile) {
  check_router_loss_options(options, row_count);
  if (options.kind == MOX_ROUTER_SWITCH && options.capacity < 1) {
    throw invalid_argument("options.capacity is " + text(options.capacity) + "; expected at least 1");
  }
  const auto experts = static_cast<size_t>(options.experts);
  Rows rows(options, logits, row_count);
  Decider decider(options);
  const int64_t rows_per_sequence = rows.per_layer() / options.sequences;
  std::vector<double> shares(static_cast<size_t>(options.layers) * experts);
  std::vector<int64_t> served(experts);
  for (int64_t layer = 0; layer < options.layers; ++layer) {
    double* share = shares.data() + static_cast<size_t>(layer) * experts;
    double counted = 0;
    for (int64_t row = 0; row < rows.per_layer(); ++row) {
      if (row % rows_per_sequence == 0) std::fill(served.begin(), served.end(), 0);
      const double* x = rows.read(layer * rows.per_layer() + row);
      if (x == nullptr) continue;
      counted += 1;
      std::vector<int32_t>& ids = decider.decide(x);
      if (options.kind == MOX_ROUTER_SWITCH) apply_capacity(options.capacity, 1, ids.data(), served.data());
      count(ids, share);
    }
    for (size_t e = 0; e < experts; ++e) share[e] /= counted;
  }
  std::copy(shares.begin(), shares.end(), profile);
}

}  // namespace moxie::moe
