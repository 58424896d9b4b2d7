// How one row's router logits become experts and weights. Templates over the float type: the layers decide in float32,
// the losses in float64, by the same code.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <iterator>
#include <limits>
#include <numeric>

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

// Whether a row can be decided upon at all. Loops over a row look at all of it, without a branch inside, so that the
// compiler can take several experts at a time.
template <typename T>
bool finite(const T* logits, int32_t count) {
  int bad = 0;
  for (int32_t i = 0; i < count; ++i) bad |= static_cast<int>(!(std::abs(logits[i]) <= std::numeric_limits<T>::max()));
  return bad == 0;
}

namespace detail {

// The better of two experts is the one of higher score, of equals the lower index.
template <typename T>
struct Better {
  const T* scores;
  bool operator()(int32_t a, int32_t b) const { return scores[a] > scores[b] || (scores[a] == scores[b] && a < b); }
};

constexpr int32_t looked_at_once = 16;  // experts

// Whether any of `looked_at_once` scores is above the limit.
template <typename T>
bool any_above(const T* scores, T limit) {
  int above = 0;
  for (int32_t i = 0; i < looked_at_once; ++i) above |= static_cast<int>(scores[i] > limit);
  return above != 0;
}

// Puts expert `id` where it belongs among the `held` best so far, best first. Experts come in ascending order, so of
// equals it is the last.
template <typename T>
void insert(const T* scores, int32_t id, int32_t held, int32_t* ids) {
  int32_t at = held;
  for (; at > 0 && scores[id] > scores[ids[at - 1]]; --at) ids[at] = ids[at - 1];
  ids[at] = id;
}

// The `count` best of all experts, best first, without sorting the rest: an expert that is not above the last of the
// best so far costs one comparison, made for many experts at a time.
template <typename T>
void best(const T* scores, int32_t experts, int32_t count, int32_t* ids) {
  constexpr int32_t few = 32;  // more are cheaper kept in a heap than in order
  if (count > few) {
    const Better<T> better{scores};
    std::iota(ids, ids + count, 0);
    std::make_heap(ids, ids + count, better);  // the worst of them on top
    for (int32_t id = count; id < experts; ++id) {
      if (!better(id, ids[0])) continue;
      std::pop_heap(ids, ids + count, better);
      ids[count - 1] = id;
      std::push_heap(ids, ids + count, better);
    }
    std::sort_heap(ids, ids + count, better);
    return;
  }
  int32_t id = 0;
  for (; id < count; ++id) insert(scores, id, id, ids);
  const auto look_at = [&](int32_t end) {
    for (; id < end; ++id) {
      if (scores[id] > scores[ids[count - 1]]) insert(scores, id, count - 1, ids);
    }
  };
  while (experts - id >= looked_at_once) {
    if (any_above(scores + id, scores[ids[count - 1]])) {
      look_at(id + looked_at_once);
    } else {
      id += looked_at_once;
    }
  }
  look_at(experts);
}

// Of scores that are numbers.
template <typename T>
T largest_of(const T* scores, int32_t count) {
  T largest[looked_at_once];
  std::fill_n(largest, looked_at_once, scores[0]);
  int32_t i = 0;
  for (; i + looked_at_once <= count; i += looked_at_once) {
    for (int32_t j = 0; j < looked_at_once; ++j) largest[j] = scores[i + j] > largest[j] ? scores[i + j] : largest[j];
  }
  for (; i < count; ++i) largest[0] = scores[i] > largest[0] ? scores[i] : largest[0];
  return *std::max_element(largest, largest + looked_at_once);
}

// e to the power of (logit - largest); returns the sum. The sum is kept in float64: in float32 the thousandth expert
// would be added to a figure that has lost its last bits.
template <typename T>
double exponentials(const T* logits, int32_t count, T* out) {
  const T largest = largest_of(logits, count);
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
      detail::best(scratch, count, 1, experts);
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
