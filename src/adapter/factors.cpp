#include "adapter/factors.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "adapter/dora.h"

namespace moxie::adapter {
namespace {

using kernels::PackedMatrix;

PackedMatrix pack(const std::vector<float>& values, int64_t rows, int64_t columns) {
  PackedMatrix matrix(MOX_F32, rows, columns);
  matrix.pack_rows(0, rows, values.data(), MOX_F32, columns);
  return matrix;
}

PackedMatrix pack_a_side_by_side(const LinearFactors& factors) {
  const int64_t rank = factors.rank;
  PackedMatrix matrix(MOX_F32, rank * static_cast<int64_t>(factors.pairs.size()), factors.in);
  int64_t row = 0;
  for (const Factors& pair : factors.pairs) {
    matrix.pack_rows(row, rank, pair.a.data(), MOX_F32, factors.in);
    row += rank;
  }
  return matrix;
}

LoraSets empty_sets(const LinearFactors& factors) {
  LoraSets sets;
  sets.in = factors.in;
  sets.out = factors.out;
  sets.scaling = factors.scaling;
  return sets;
}

}  // namespace

LoraSets pack_sets(const LinearFactors& factors, bool own_inputs, const PackedMatrix* weight, mox_status status) {
  LoraSets sets = empty_sets(factors);
  sets.sets = static_cast<int32_t>(factors.pairs.size());
  sets.rank = factors.rank;
  if (!own_inputs || sets.sets == 1) sets.a = pack_a_side_by_side(factors);
  for (const Factors& pair : factors.pairs) {
    if (own_inputs) sets.a_of_set.push_back(pack(pair.a, factors.rank, factors.in));
    sets.b.push_back(pack(pair.b, factors.out, factors.rank));
  }
  const auto rescales = [](const Factors& pair) { return !pair.magnitude.empty(); };
  if (weight != nullptr && std::any_of(factors.pairs.begin(), factors.pairs.end(), rescales)) {
    sets.rescale = dora_rescale(factors, *weight, status);
  }
  return sets;
}

LoraSets pack_plugged_in(const LinearFactors& factors, Router router) {
  LoraSets sets = empty_sets(factors);
  const auto rank = static_cast<size_t>(factors.rank);
  const auto out = static_cast<size_t>(factors.out);
  const size_t width = rank * factors.pairs.size();
  sets.rank = static_cast<int32_t>(width);
  sets.expert_rank = factors.rank;
  sets.a = pack_a_side_by_side(factors);
  std::vector<float> b(out * width);
  for (size_t expert = 0; expert < factors.pairs.size(); ++expert) {
    const float* source = factors.pairs[expert].b.data();
    for (size_t row = 0; row < out; ++row) {
      std::copy_n(source + row * rank, rank, b.data() + row * width + expert * rank);
    }
  }
  sets.b.push_back(pack(b, factors.out, static_cast<int64_t>(width)));
  sets.router = std::move(router);
  return sets;
}

int64_t bytes_of(const Router& router) { return static_cast<int64_t>(router.gate.size() * sizeof(float)); }

int64_t bytes_of(const LoraSets& sets) {
  size_t bytes = sets.a.bytes();
  for (const PackedMatrix& a : sets.a_of_set) bytes += a.bytes();
  for (const PackedMatrix& b : sets.b) bytes += b.bytes();
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
