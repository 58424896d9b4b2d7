#include "model/sampler.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <limits>
#include <numeric>
#include <string>

#include "runtime/error.h"

namespace moxie::model {
namespace {

// The largest logit; NaN, +infinity and a row without any candidate are refused.
float check(const float* logits, int64_t vocabulary) {
  constexpr float masked = -std::numeric_limits<float>::infinity();
  float largest = masked;
  for (int64_t token = 0; token < vocabulary; ++token) {
    const float logit = logits[token];
    if (std::isnan(logit) || logit == -masked) {
      throw Error(MOX_NUMERIC, "logits: " + std::string(std::isnan(logit) ? "NaN" : "+infinity") + " for token " +
                                   std::to_string(token) + "; expected numbers, or -infinity for a masked token");
    }
    largest = std::max(largest, logit);
  }
  if (largest == masked) {
    throw Error(MOX_NUMERIC, "logits: -infinity for each of " + std::to_string(vocabulary) +
                                 " tokens; expected at least one that is not masked");
  }
  return largest;
}

}  // namespace

double portable_exp(double x) {
  // Below this the result is under the smallest normal number: as good as impossible, and said to be so.
  if (!(x >= -708)) return 0;
  // x = n ln 2 + r, |r| <= ln 2 / 2, with ln 2 in two parts so that n * high is exact.
  constexpr double per_ln2 = 1.44269504088896340736;
  constexpr double ln2_high = 6.93147180369123816490e-01;
  constexpr double ln2_low = 1.90821492927058770002e-10;
  const double n = std::nearbyint(x * per_ln2);
  const double high = n * ln2_high;
  const double low = n * ln2_low;
  const double r = (x - high) - low;
  // Taylor to r^13 / 13!: the next term is below 2^-57 of the sum.
  constexpr std::array<double, 14> factorial = {1,     1,      2,       6,        24,        120,        720,
                                                5040., 40320., 362880., 3628800., 39916800., 479001600., 6227020800.};
  double sum = 1 / factorial[13];
  for (size_t i = 13; i-- > 0;) {
    const double product = sum * r;
    sum = product + 1 / factorial[i];
  }
  const auto power = static_cast<uint64_t>(1023 + static_cast<int64_t>(n)) << 52;
  return sum * std::bit_cast<double>(power);
}

Sampler::Sampler(const mox_sampler_options& options)
    : temperature_(options.temperature), top_k_(options.top_k), top_p_(options.top_p), random_(options.seed) {
  if (!(temperature_ >= 0 && std::isfinite(temperature_))) {
    throw invalid_argument("options.temperature is " + std::to_string(temperature_) +
                           "; expected a finite number, 0 (greedy) or above");
  }
  if (top_k_ < 0) throw invalid_argument("options.top_k is " + std::to_string(top_k_) + "; expected 0 (all) or above");
  if (!(top_p_ > 0 && top_p_ <= 1)) {
    throw invalid_argument("options.top_p is " + std::to_string(top_p_) +
                           "; expected a number above 0, at most 1 (all)");
  }
}

int32_t Sampler::next(const float* logits, int64_t vocabulary) {
  if (vocabulary < 1 || vocabulary > std::numeric_limits<int32_t>::max()) {
    throw invalid_argument("vocabulary is " + std::to_string(vocabulary) + "; expected 1 .. " +
                           std::to_string(std::numeric_limits<int32_t>::max()));
  }
  const float largest = check(logits, vocabulary);
  if (temperature_ == 0) return static_cast<int32_t>(std::find(logits, logits + vocabulary, largest) - logits);
  return draw(logits, static_cast<int32_t>(vocabulary), largest);
}

int32_t Sampler::draw(const float* logits, int32_t vocabulary, float largest) {
  tokens_.resize(static_cast<size_t>(vocabulary));
  shares_.resize(static_cast<size_t>(vocabulary));
  std::iota(tokens_.begin(), tokens_.end(), 0);

  const auto likelier = [logits](int32_t a, int32_t b) {
    return logits[a] > logits[b] || (logits[a] == logits[b] && a < b);
  };
  size_t kept = tokens_.size();
  if (top_k_ > 0 && static_cast<size_t>(top_k_) < kept) {
    kept = static_cast<size_t>(top_k_);
    std::nth_element(tokens_.begin(), tokens_.begin() + static_cast<ptrdiff_t>(kept), tokens_.end(), likelier);
    std::sort(tokens_.begin(), tokens_.begin() + static_cast<ptrdiff_t>(kept));
  }
  double total = 0;
  for (size_t i = 0; i < kept; ++i) {
    const auto token = static_cast<size_t>(tokens_[i]);
    const double behind = static_cast<double>(logits[token]) - static_cast<double>(largest);
    shares_[token] = portable_exp(behind / static_cast<double>(temperature_));
    total += shares_[token];
  }
  if (top_p_ < 1) {
    // A heap over the reversed range leaves the popped tokens at the front, likeliest first.
    const auto first = std::reverse_iterator(tokens_.begin() + static_cast<ptrdiff_t>(kept));
    const auto last = tokens_.rend();
    const auto less_likely = [&](int32_t a, int32_t b) { return likelier(b, a); };
    std::make_heap(first, last, less_likely);
    const double limit = static_cast<double>(top_p_) * total;
    double reached = 0;
    size_t taken = 0;
    while (taken < kept && reached < limit) {
      std::pop_heap(first, last - static_cast<ptrdiff_t>(taken), less_likely);
      reached += shares_[static_cast<size_t>(tokens_[taken])];
      ++taken;
    }
    kept = taken;
    total = reached;
  }

  const double target = uniform() * total;
  double passed = 0;
  int32_t choice = tokens_[0];
  for (size_t i = 0; i < kept; ++i) {
    const double share = shares_[static_cast<size_t>(tokens_[i])];
    if (share == 0) continue;
    choice = tokens_[i];
    passed += share;
    if (target < passed) break;
  }
  return choice;
}

// 53 random bits: 0 <= u < 1.
double Sampler::uniform() { return static_cast<double>(random_() >> 11) * 0x1p-53; }

}  // namespace moxie::model
