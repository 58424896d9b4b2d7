// Factors as rows of float32, and how they become LoraSets.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "adapter/adapter.h"
#include "adapter/base_linears.h"
#include "kernels/packed_matrix.h"

namespace moxie::adapter {

struct Factors {
  std::vector<float> a;          // [rank, in]
  std::vector<float> b;          // [out, rank]
  std::vector<float> magnitude;  // [out], or empty
};

// The factors over one linear, one pair or one for each expert.
struct LinearFactors {
  std::string where;  // for messages: the file and the linear
  int64_t in = 0, out = 0;
  int32_t rank = 0;  // of each
  float scaling = 1;
  std::vector<Factors> pairs;
};

// weight: the base's, for the norms of DoRA; it and their maker are needed only where a magnitude is stored.
// status: of errors about values.
LoraSets pack_sets(const LinearFactors& factors, const kernels::PackedMatrix* weight, const NormMaker& norms,
                   mox_status status);

// Plug-in experts: a set for each, or one set of all where the router takes them all for every row.
LoraSets pack_plugged_in(const LinearFactors& factors, Router router);

// Puts all factors and gates of an adapter side by side: together they fill 2 MiB pages that each alone would not.
void gather(Adapter* adapter);

int64_t bytes_of(const LoraSets& sets);
// Of everything in the adapter's layers.
int64_t bytes_of(const Adapter& adapter);

// Elements of the pairs' tensors, and of the gate's.
int64_t parameters_of(const LinearFactors& factors);
int64_t parameters_of(const Router& router);

// Index of the first NaN or infinity, or -1.
int64_t find_non_finite(const std::vector<float>& values);

}  // namespace moxie::adapter
