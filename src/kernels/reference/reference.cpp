#include "kernels/reference/reference.h"

#include <algorithm>
#include <cmath>

#include "kernels/entries.h"

namespace moxie::kernels::reference {
namespace {

float activated(mox_activation activation, float x) {
  switch (activation) {
    case MOX_ACTIVATION_SILU:
      return x / (1.0F + std::exp(-x));
    case MOX_ACTIVATION_GELU:
      return 0.5F * x * std::erfc(-x * 0.70710678F);
    case MOX_ACTIVATION_GELU_TANH:
      return 0.5F * x * (1.0F + std::tanh(0.79788456F * (x + 0.044715F * x * x * x)));
    case MOX_ACTIVATION_RELU:
      return x > 0 ? x : 0.0F;
    case MOX_ACTIVATION_BASE:
      break;
  }
  return x;
}

// Sixteen partial sums, added by halves: the order every instruction set keeps.
float add_by_halves(float (&sum)[16]) {
  for (int width = 8; width > 0; width /= 2) {
    for (int i = 0; i < width; ++i) sum[i] += sum[i + width];
  }
  return sum[0];
}

}  // namespace

void router(const float* x, int64_t ldx, int64_t rows, const float* gate, int64_t gate_stride, int64_t experts,
            int64_t k, float* logits, int64_t ld) {
  for (int64_t row = 0; row < rows; ++row) {
    for (int64_t expert = 0; expert < experts; ++expert) {
      float sum[16] = {};
      for (int64_t i = 0; i < k; ++i) sum[i % 16] += x[row * ldx + i] * gate[expert * gate_stride + i];
      logits[row * ld + expert] = add_by_halves(sum);
    }
  }
}

void activate(mox_activation activation, const float* gate, const float* up, float weight, int64_t count, float* h,
              bool accumulate) {
  for (int64_t i = 0; i < count; ++i) {
    float value = weight * activated(activation, gate[i]);
    if (up != nullptr) value *= up[i];
    h[i] = accumulate ? h[i] + value : value;
  }
}

void softmax(const float* x, int64_t count, float* probabilities) {
  if (count <= 0) return;
  const float largest = *std::max_element(x, x + count);
  float sum = 0;
  for (int64_t i = 0; i < count; ++i) {
    probabilities[i] = std::exp(x[i] - largest);
    sum += probabilities[i];
  }
  for (int64_t i = 0; i < count; ++i) probabilities[i] /= sum;
}

void rms_norm(const float* x, const float* weight, double epsilon, int64_t count, float* y) {
  float sum[16] = {};
  for (int64_t i = 0; i < count; ++i) sum[i % 16] += x[i] * x[i];
  const double mean = static_cast<double>(add_by_halves(sum)) / static_cast<double>(count);
  const auto scale = static_cast<float>(1.0 / std::sqrt(mean + epsilon));
  for (int64_t i = 0; i < count; ++i) y[i] = x[i] * scale * weight[i];
}

void attend(const Attend& a) {
  const auto row = [&a](const float* const* blocks, int64_t position) {
    return blocks[position / a.block_rows] + position % a.block_rows * a.stride;
  };
  for (int64_t p = a.begin; p < a.end; ++p) {
    float dot = 0;
    for (int64_t i = 0; i < a.head_dim; ++i) dot += a.query[i] * row(a.key_blocks, p)[i];
    a.scores[p - a.begin] = a.scale * dot;
  }
  softmax(a.scores, a.end - a.begin, a.scores);
  std::fill_n(a.output, a.head_dim, 0.0F);
  for (int64_t p = a.begin; p < a.end; ++p) {
    for (int64_t i = 0; i < a.head_dim; ++i) a.output[i] += a.scores[p - a.begin] * row(a.value_blocks, p)[i];
  }
}

void to_bfloat16(const float* x, int64_t count, bfloat16* y) {
  for (int64_t i = 0; i < count; ++i) y[i] = round_to_bfloat16(x[i]);
}

}  // namespace moxie::kernels::reference

namespace moxie::kernels::entries {

constinit const Kernels reference = {.name = "reference",
                                     .backend = MOX_BACKEND_REFERENCE,
                                     .isa = MOX_ISA_PORTABLE,
                                     .matmul_f32 = kernels::reference::matmul_f32,
                                     .matmul_bf16 = kernels::reference::matmul_bf16,
                                     .lora_shrink = kernels::reference::lora_shrink,
                                     .lora_expand = kernels::reference::lora_expand,
                                     .router = kernels::reference::router,
                                     .activate = kernels::reference::activate,
                                     .softmax = kernels::reference::softmax,
                                     .rms_norm = kernels::reference::rms_norm,
                                     .attend = kernels::reference::attend,
                                     .to_bfloat16 = kernels::reference::to_bfloat16};

}  // namespace moxie::kernels::entries
