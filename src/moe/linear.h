// A frozen linear of the base.
#pragma once

#include <vector>

#include "kernels/packed_matrix.h"

namespace moxie::moe {

// y = x W^T + bias; weight [out, in].
struct Linear {
  kernels::PackedMatrix weight;
  std::vector<float> bias;  // [out], or empty

  [[nodiscard]] int64_t in() const { return weight.k(); }
  [[nodiscard]] int64_t out() const { return weight.n(); }
  [[nodiscard]] bool empty() const { return weight.empty(); }
};

}  // namespace moxie::moe
