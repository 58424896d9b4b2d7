#include "adapter/factors.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "adapter/dora.h"

namespace moxie::adapter {
namespace {

using kernels::FactorBank;
using kernels::PackedMatrix;

LoraSets empty_sets(const LinearFactors& factors) {
  LoraSets sets;
  sets.in = factors.in;
  sets.out = factors.out;
  sets.scaling = factors.scaling;
  return sets;
}

}  // namespace

LoraSets pack_sets(const LinearFactors& factors, const PackedMatrix* weight, mox_status status) {
  LoraSets sets = empty_sets(factors);
  sets.sets = static_cast<int32_t>(factors.pairs.size());
  sets.rank = factors.rank;
  sets.a = FactorBank(kernels::shrink_panel_width, sets.sets, factors.rank, factors.in);
  sets.b = FactorBank(kernels::expand_panel_width, sets.sets, factors.out, factors.rank);
  for (int32_t set = 0; set < sets.sets; ++set) {
    const Factors& pair = factors.pairs[static_cast<size_t>(set)];
    sets.a.pack(set, 0, factors.rank, 0, factors.in, pair.a.data(), factors.in);
    sets.b.pack(set, 0, factors.out, 0, factors.rank, pair.b.data(), factors.rank);
  }
  const auto rescales = [](const Factors& pair) { return !pair.magnitude.empty(); };
  if (weight != nullptr && std::any_of(factors.pairs.begin(), factors.pairs.end(), rescales)) {
    sets.rescale = dora_rescale(factors, *weight, status);
  }
  return sets;
}

LoraSets pack_plugged_in(const LinearFactors& factors, Router router) {
  LoraSets sets = empty_sets(factors);
  const auto experts = static_cast<int32_t>(factors.pairs.size());
  sets.rank = factors.rank * experts;
  sets.expert_rank = factors.rank;
  sets.a = FactorBank(kernels::shrink_panel_width, 1, sets.rank, factors.in);
  sets.b = FactorBank(kernels::expand_panel_width, 1, factors.out, sets.rank);
  for (int32_t expert = 0; expert < experts; ++expert) {
    const Factors& pair = factors.pairs[static_cast<size_t>(expert)];
    const int64_t first = int64_t{expert} * factors.rank;
    sets.a.pack(0, first, factors.rank, 0, factors.in, pair.a.data(), factors.in);
    sets.b.pack(0, 0, factors.out, first, factors.rank, pair.b.data(), factors.rank);
  }
  sets.router = std::move(router);
  return sets;
}

int64_t bytes_of(const Router& router) { return static_cast<int64_t>(router.gate.size() * sizeof(float)); }

int64_t bytes_of(const LoraSets& sets) {
  size_t bytes = sets.a.bytes() + sets.b.bytes();
  for (const auto& rescale : sets.rescale) bytes += rescale.size() * sizeof(float);
  return static_cast<int64_t>(bytes) + (sets.router ? bytes_of(*sets.router) : 0);
}

int64_t bytes_of(const Adapter& adapter) {
  int64_t bytes = 0;
  for (const LayerAdapter& layer : adapter.layers) {
    const AttentionAdapter& attention = layer.attention;
    const FeedForwardAdapter& feed_forward = layer.feed_forward;
    for (const auto* sets : {&attention.q, &attention.k, &attention.v, &attention.o, &feed_forward.gate,
                             &feed_forward.up, &feed_forward.down}) {
      if (*sets) bytes += bytes_of(**sets);
    }
    if (feed_forward.router) bytes += bytes_of(*feed_forward.router);
  }
  return bytes;
}

int64_t parameters_of(const LinearFactors& factors) {
  size_t elements = 0;
  for (const Factors& pair : factors.pairs) elements += pair.a.size() + pair.b.size() + pair.magnitude.size();
  return static_cast<int64_t>(elements);
}

int64_t find_non_finite(const std::vector<float>& values) {
  const auto found = std::find_if(values.begin(), values.end(), [](float value) { return !std::isfinite(value); });
  return found == values.end() ? -1 : found - values.begin();
}

}  // namespace moxie::adapter
