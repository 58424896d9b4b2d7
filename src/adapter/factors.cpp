#include "adapter/factors.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <memory>
#include <utility>

#include "adapter/dora.h"
#include "runtime/huge_memory.h"

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

// bfloat16 where it holds the very same values: half the memory, and half of what a row must read.
DType dtype_of(const LinearFactors& factors, std::vector<float> Factors::*factor) {
  for (const Factors& pair : factors.pairs) {
    for (const float value : pair.*factor) {
      if ((std::bit_cast<uint32_t>(value) & 0xffffU) != 0) return MOX_F32;
    }
  }
  return MOX_BF16;
}

LoraSets pack_apart(const LinearFactors& factors) {
  LoraSets sets = empty_sets(factors);
  sets.sets = static_cast<int32_t>(factors.pairs.size());
  sets.rank = factors.rank;
  sets.a = FactorBank(dtype_of(factors, &Factors::a), kernels::shrink_panel_width, sets.sets, factors.rank, factors.in);
  sets.b =
      FactorBank(dtype_of(factors, &Factors::b), kernels::expand_panel_width, sets.sets, factors.out, factors.rank);
  for (int32_t set = 0; set < sets.sets; ++set) {
    const Factors& pair = factors.pairs[static_cast<size_t>(set)];
    sets.a.pack(set, 0, factors.rank, 0, factors.in, pair.a.data(), factors.in);
    sets.b.pack(set, 0, factors.out, 0, factors.rank, pair.b.data(), factors.rank);
  }
  return sets;
}

LoraSets pack_side_by_side(const LinearFactors& factors) {
  LoraSets sets = empty_sets(factors);
  const auto experts = static_cast<int32_t>(factors.pairs.size());
  sets.rank = factors.rank * experts;
  sets.expert_rank = factors.rank;
  sets.a = FactorBank(dtype_of(factors, &Factors::a), kernels::shrink_panel_width, 1, sets.rank, factors.in);
  sets.b = FactorBank(dtype_of(factors, &Factors::b), kernels::expand_panel_width, 1, factors.out, sets.rank);
  for (int32_t expert = 0; expert < experts; ++expert) {
    const Factors& pair = factors.pairs[static_cast<size_t>(expert)];
    const int64_t first = int64_t{expert} * factors.rank;
    sets.a.pack(0, first, factors.rank, 0, factors.in, pair.a.data(), factors.in);
    sets.b.pack(0, 0, factors.out, first, factors.rank, pair.b.data(), factors.rank);
  }
  return sets;
}

template <class AnAdapter, class Visit>
void for_each_sets(AnAdapter& adapter, const Visit& visit) {
  for (auto& layer : adapter.layers) {
    auto& [q, k, v, o] = layer.attention;
    auto& feed_forward = layer.feed_forward;
    for (auto* sets : {&q, &k, &v, &o, &feed_forward.gate, &feed_forward.up, &feed_forward.down}) {
      if (*sets) visit(**sets);
    }
  }
}

}  // namespace

LoraSets pack_sets(const LinearFactors& factors, const PackedMatrix* weight, const NormMaker& norms,
                   mox_status status) {
  LoraSets sets = pack_apart(factors);
  const auto rescales = [](const Factors& pair) { return !pair.magnitude.empty(); };
  if (weight != nullptr && std::any_of(factors.pairs.begin(), factors.pairs.end(), rescales)) {
    sets.rescale = dora_rescale(factors, *weight, norms, status);
  }
  return sets;
}

LoraSets pack_plugged_in(const LinearFactors& factors, Router router) {
  LoraSets sets = router.places() < router.experts ? pack_apart(factors) : pack_side_by_side(factors);
  sets.router = std::move(router);
  return sets;
}

int64_t bytes_of(const LoraSets& sets) {
  size_t bytes = sets.a.bytes() + sets.b.bytes() + (sets.router ? sets.router->gate.bytes() : 0);
  for (const auto& rescale : sets.rescale) bytes += rescale.size() * sizeof(float);
  return static_cast<int64_t>(bytes);
}

int64_t bytes_of(const Adapter& adapter) {
  int64_t bytes = 0;
  for_each_sets(adapter, [&](const LoraSets& sets) { bytes += bytes_of(sets); });
  for (const LayerAdapter& layer : adapter.layers) {
    if (layer.feed_forward.router) bytes += static_cast<int64_t>(layer.feed_forward.router->gate.bytes());
  }
  return bytes;
}

void gather(Adapter* adapter) {
  std::vector<FactorBank*> banks;
  size_t bytes = 0;
  constexpr size_t line = 64;
  const auto room_for = [](const FactorBank& bank) { return (bank.bytes() + line - 1) / line * line; };
  const auto add = [&](FactorBank* bank) {
    banks.push_back(bank);
    bytes += room_for(*bank);
  };
  for (LayerAdapter& layer : adapter->layers) {
    if (layer.feed_forward.router) add(&layer.feed_forward.router->gate);
  }
  for_each_sets(*adapter, [&](LoraSets& sets) {
    add(&sets.a);
    add(&sets.b);
    if (sets.router) add(&sets.router->gate);
  });
  if (bytes < huge_page) return;
  const std::shared_ptr<std::byte> memory = huge_memory(bytes);
  std::byte* at = memory.get();
  for (FactorBank* bank : banks) {
    const size_t room = room_for(*bank);
    bank->move_to({memory, at});
    at += room;
  }
}

int64_t parameters_of(const Router& router) { return router.gate.n() * router.gate.k(); }

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
