// Rotary position embedding (RoPE, arXiv 2104.09864) with every scaling of Hugging Face checkpoints.
#pragma once

#include <cstdint>
#include <vector>

#include "checkpoint/architecture.h"

namespace moxie::transformer {

// Angles per position, for a sequence that is `length` positions long so far (dynamic and longrope look at it).
struct Frequencies {
  std::vector<double> inverse;  // [rotary_dim / 2]
  double scale = 1;             // multiplies cos and sin
};
Frequencies frequencies(const checkpoint::Rope& rope, int64_t length);

// Whether frequencies depend on how long the sequence is.
bool depends_on_length(const checkpoint::Rope& rope);

// cos and sin of one position, scale included: [rotary_dim / 2] each.
void rotation(const Frequencies& frequencies, int64_t position, float* cos, float* sin);

// Turns one head's leading dimensions in place.
void rotate(const checkpoint::Rope& rope, const float* cos, const float* sin, float* head);

}  // namespace moxie::transformer
