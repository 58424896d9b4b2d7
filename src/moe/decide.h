// How one row's router logits become experts and weights. Templates over the float type: the layers decide in float32,
// the losses in float64, by the same code.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <iterator>
#include <numeric>
#include <ranges>

#include "moxie/feed_forward.h"

namespace moxie::moe {

struct RouterSettings {
  mox_router_kind kind = MOX_ROUTER_TOP_K;
  int32_t experts = 0;
  int32_t top_k = 0;
  float top_p = 0;
  float temperature = 0;
};

// Ids and weights per row.
inline int32_t places(const RouterSettings& settings) {
  switch (settings.kind) {
    case MOX_ROUTER_DYNAMIC:
    case MOX_ROUTER_LORAMOE:
      return settings.experts;
    case MOX_ROUTER_SWITCH:
      return 1;
    default:
      return settings.top_k;
  }
}

// Whether a row can be decided upon at all.
template <typename T>
bool finite(const T* logits, int32_t count) {
  return std::all_of(logits, logits + count, [](T logit) { return std::isfinite(logit); });
}

namespace detail {

// The better of two experts is the one of higher score, of equals the lower index.
template <typename T>
struct Better {
  const T* scores;
  bool operator()(int32_t a, int32_t b) const { return scores[a] > scores[b] || (scores[a] == scores[b] && a < b); }
};

// The `count` best of all experts, best first, without sorting the rest.
template <typename T>
void best(const T* scores, int32_t experts, int32_t count, int32_t* ids) {
  std::ranges::partial_sort_copy(std::views::iota(0, experts), std::ranges::subrange(ids, ids + count),
                                 Better<T>{scores});
}

// e to the power of (logit - largest); returns the sum. The sum is kept in float64: in float32 the thousandth expert
// would be added to a figure that has lost its last bits.
template <typename T>
double exponentials(const T* logits, int32_t count, T* out) {
  const T largest = *std::max_element(logits, logits + count);
  double sum = 0;
  for (int32_t i = 0; i < count; ++i) {
    out[i] = std::exp(logits[i] - largest);
    sum += static_cast<double>(out[i]);
  }
  return sum;
}

template <typename T>
void softmax(const T* logits, int32_t count, T* probabilities) {
  const double sum = exponentials(logits, count, probabilities);
  for (int32_t i = 0; i < count; ++i) probabilities[i] = static_cast<T>(static_cast<double>(probabilities[i]) / sum);
}

// Likeliest first; expert e is taken unless the running sum before it already exceeds p. The comparison is made on
// undivided exponentials, before > p * temperature * total, so that p = 1 takes every expert whatever the rounding of
// single probabilities.
template <typename T>
void take_top_p(const RouterSettings& settings, const T* logits, int32_t* experts, T* weights, T* scratch) {
  const int32_t count = settings.experts;
  const double total = exponentials(logits, count, scratch);
  const double divisor = settings.temperature > 0 ? total * static_cast<double>(settings.temperature) : total;
  const double limit = static_cast<double>(settings.top_p) * divisor;

  // A heap over the reversed range leaves the popped experts at the front, in order.
  std::iota(experts, experts + count, 0);
  const auto first = std::reverse_iterator(experts + count);
  const auto worse = [better = Better<T>{scratch}](int32_t a, int32_t b) { return better(b, a); };
  std::make_heap(first, first + count, worse);
  double before = 0;
  int32_t taken = 0;
  while (taken < count && !(before > limit)) {
    std::pop_heap(first, first + (count - taken), worse);
    const auto share = static_cast<double>(scratch[experts[taken]]);
    weights[taken] = static_cast<T>(share / divisor);
    before += share;
    ++taken;
  }
  std::fill(experts + taken, experts + count, -1);
  std::fill(weights + taken, weights + count, T{0});
}

}  // namespace detail

// Ids and weights of one row, places(settings) of each, in the order of mox_routing_info. `logits` must be finite;
// `scratch` holds `experts` elements. Switch: without regard to capacity.
template <typename T>
void decide_row(const RouterSettings& settings, const T* logits, int32_t* experts, T* weights, T* scratch) {
  const int32_t count = settings.experts;
  switch (settings.kind) {
    case MOX_ROUTER_TOP_K: {
      detail::best(logits, count, settings.top_k, experts);
      for (int32_t i = 0; i < settings.top_k; ++i) scratch[i] = logits[experts[i]];
      detail::softmax(scratch, settings.top_k, weights);
      return;
    }
    case MOX_ROUTER_MIXLORA:
    case MOX_ROUTER_MOLA: {
      detail::softmax(logits, count, scratch);
      detail::best(scratch, count, settings.top_k, experts);
      double sum = 0;
      for (int32_t i = 0; i < settings.top_k; ++i) sum += static_cast<double>(scratch[experts[i]]);
      for (int32_t i = 0; i < settings.top_k; ++i) {
        weights[i] = static_cast<T>(static_cast<double>(scratch[experts[i]]) / sum);
      }
      return;
    }
    case MOX_ROUTER_DYNAMIC:
      detail::take_top_p(settings, logits, experts, weights, scratch);
      return;
    case MOX_ROUTER_SWITCH: {
      detail::softmax(logits, count, scratch);
      experts[0] = static_cast<int32_t>(std::max_element(scratch, scratch + count) - scratch);
      weights[0] = scratch[experts[0]];
      return;
    }
    case MOX_ROUTER_LORAMOE:
      std::iota(experts, experts + count, 0);
      detail::softmax(logits, count, weights);
      return;
  }
}

// Switch: within a sequence, in row order, an expert serves its first `capacity` rows; the id of any later one becomes
// -1. `served` counts, for each expert, the rows of the sequence that chose it so far, and is carried on.
inline void apply_capacity(int64_t capacity, int64_t rows, int32_t* ids, int64_t* served) {
  for (int64_t row = 0; row < rows; ++row) {
    if (++served[ids[row]] > capacity) ids[row] = -1;
  }
}

}  // namespace moxie::moe
