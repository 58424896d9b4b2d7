// Rotary position embedding (RoPE, arXiv 2104.09864) with every scaling of Hugging Face checkpoints.
#pragma once

#include <cstdint>
#include <span>

#include "checkpoint/architecture.h"

namespace moxie::transformer {

// Angles per position, for a sequence that is `length` positions long so far (dynamic and longrope look at it).
struct Frequencies {
  std::span<const double> inverse;  // [rotary_dim / 2]
  double scale = 1;                 // multiplies cos and sin
};
// memory: of rotary_dim / 2 numbers, which the result refers to.
Frequencies frequencies(const checkpoint::Rope& rope, int64_t length, double* memory);

// Whether frequencies depend on how long the sequence is.
bool depends_on_length(const checkpoint::Rope& rope);

// cos and sin of one position, scale included: [rotary_dim / 2] each.
void rotation(const Frequencies& frequencies, int64_t position, float* cos, float* sin);

// turned = a head with its leading dimensions turned; both [head_dim], apart from each other.
void rotate(const checkpoint::Rope& rope, const float* cos, const float* sin, int64_t head_dim, const float* head,
            float* turned);

}  // namespace moxie::transformer
