// Choosing the next token: greedy, or by chance among the likeliest.
#pragma once

#include <cstdint>
#include <random>
#include <vector>

#include "moxie/sampler.h"

namespace moxie::model {

// The same seed and logits give the same tokens on every machine: the generator is one the language standard specifies
// bit by bit, and the probabilities are made of additions and multiplications only, in float64 and a fixed order.
class Sampler {
 public:
  // Error where an option is out of range.
  explicit Sampler(const mox_sampler_options& options);

  // Error where a logit is NaN or +infinity, or nothing is left to choose; the generator has not moved then.
  int32_t next(const float* logits, int64_t vocabulary);

 private:
  int32_t draw(const float* logits, int32_t vocabulary, float largest);
  double uniform();

  float temperature_;
  int32_t top_k_;
  float top_p_;
  std::mt19937_64 random_;
  std::vector<int32_t> tokens_;  // scratch: candidates
  std::vector<double> shares_;   // scratch: undivided probability of each token
};

// e to the power of x, x <= 0, within 2 units in the last place; the C library's differs from processor to processor.
double portable_exp(double x);

}  // namespace moxie::model
