// DoRA's magnitudes (arXiv 2402.09353) as factors on the output: magnitude / norm.
#pragma once

#include <vector>

#include "adapter/factors.h"

namespace moxie::adapter {

// Per pair [out]: magnitude over the L2 norm of each row of W + scaling * B A. A pair without a stored magnitude has
// the norm itself for it: exactly 1. Error (of that status) where a row's norm is zero or the result is no float32; the
// first such row of the first such pair is named, and nothing else depends on the number of threads either.
std::vector<std::vector<float>> dora_rescale(const LinearFactors& factors, const kernels::PackedMatrix& weight,
                                             const NormMaker& maker, mox_status status);

}  // namespace moxie::adapter
