#include "transformer/rotary.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <vector>

namespace moxie::transformer {
namespace {

using checkpoint::Rope;
using checkpoint::RopeScaling;

void plain(double theta, int64_t dim, std::span<double> inverse) {
  for (size_t i = 0; i < inverse.size(); ++i) {
    inverse[i] = 1.0 / std::pow(theta, 2.0 * static_cast<double>(i) / static_cast<double>(dim));
  }
}

// Dynamic NTK: a larger base once the sequence outgrows training.
double grown_theta(const Rope& rope, int64_t length) {
  const double n = std::max(static_cast<double>(length), rope.max_positions);
  const auto dim = static_cast<double>(rope.rotary_dim);
  return rope.theta * std::pow(rope.factor * n / rope.max_positions - (rope.factor - 1), dim / (dim - 2));
}

// Llama 3.1: long wavelengths are divided by the factor, short ones kept, those between interpolated.
void scale_llama3(const Rope& rope, std::span<double> inverse) {
  for (double& f : inverse) {
    const double turns = rope.original_positions * f / (2 * std::numbers::pi);
    const double smooth = std::clamp(
        (turns - rope.low_frequency_factor) / (rope.high_frequency_factor - rope.low_frequency_factor), 0.0, 1.0);
    f = (1 - smooth) * f / rope.factor + smooth * f;
  }
}

// YaRN (arXiv 2309.00071): a ramp over dimensions from kept to interpolated frequencies.
void scale_yarn(const Rope& rope, std::span<double> inverse) {
  const auto dim = static_cast<double>(rope.rotary_dim);
  auto dimension_of = [&](double turns) {
    return dim * std::log(rope.original_positions / (turns * 2 * std::numbers::pi)) / (2 * std::log(rope.theta));
  };
  double low = dimension_of(rope.beta_fast);
  double high = dimension_of(rope.beta_slow);
  if (rope.truncate) {
    low = std::floor(low);
    high = std::ceil(high);
  }
  low = std::max(low, 0.0);
  high = std::min(high, dim - 1);
  if (low == high) high += 0.001;
  for (size_t i = 0; i < inverse.size(); ++i) {
    const double interpolated = std::clamp((static_cast<double>(i) - low) / (high - low), 0.0, 1.0);
    double& f = inverse[i];
    f = f / rope.factor * interpolated + f * (1 - interpolated);
  }
}

}  // namespace

bool depends_on_length(const Rope& rope) {
  return rope.scaling == RopeScaling::dynamic || rope.scaling == RopeScaling::longrope;
}

Frequencies frequencies(const Rope& rope, int64_t length, double* memory) {
  const std::span<double> inverse(memory, static_cast<size_t>(rope.rotary_dim / 2));
  Frequencies result{inverse};
  plain(rope.scaling == RopeScaling::dynamic ? grown_theta(rope, length) : rope.theta, rope.rotary_dim, inverse);
  switch (rope.scaling) {
    case RopeScaling::none:
    case RopeScaling::dynamic:
      break;
    case RopeScaling::linear:
      for (double& f : inverse) f /= rope.factor;
      break;
    case RopeScaling::llama3:
      scale_llama3(rope, inverse);
      break;
    case RopeScaling::yarn:
      scale_yarn(rope, inverse);
      result.scale = rope.attention_factor;
      break;
    case RopeScaling::longrope: {
      const bool beyond = static_cast<double>(length) > rope.original_positions;
      const std::vector<double>& each = beyond ? rope.long_factor : rope.short_factor;
      for (size_t i = 0; i < inverse.size(); ++i) inverse[i] /= each[i];
      result.scale = rope.attention_factor;
      break;
    }
  }
  return result;
}

void rotation(const Frequencies& frequencies, int64_t position, float* cos, float* sin) {
  for (size_t i = 0; i < frequencies.inverse.size(); ++i) {
    const double angle = static_cast<double>(position) * frequencies.inverse[i];
    cos[i] = static_cast<float>(std::cos(angle) * frequencies.scale);
    sin[i] = static_cast<float>(std::sin(angle) * frequencies.scale);
  }
}

void rotate(const Rope& rope, const float* __restrict cos, const float* __restrict sin, int64_t head_dim,
            const float* __restrict head, float* __restrict turned) {
  const int64_t half = rope.rotary_dim / 2;
  if (rope.interleaved) {
    for (int64_t i = 0; i < half; ++i) {
      turned[2 * i] = head[2 * i] * cos[i] - head[2 * i + 1] * sin[i];
      turned[2 * i + 1] = head[2 * i + 1] * cos[i] + head[2 * i] * sin[i];
    }
  } else {
    // Two loops, so that the compiler takes vectors of both.
    for (int64_t i = 0; i < half; ++i) turned[i] = head[i] * cos[i] - head[half + i] * sin[i];
    for (int64_t i = 0; i < half; ++i) turned[half + i] = head[half + i] * cos[i] + head[i] * sin[i];
  }
  for (int64_t i = rope.rotary_dim; i < head_dim; ++i) turned[i] = head[i];
}

}  // namespace moxie::transformer
