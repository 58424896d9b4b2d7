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

// Positions a query sees, of all or of one segment.
struct Seen {
  int64_t begin, end;
};

Seen seen_by(const Attend& a, int64_t query) {
  const int64_t end = a.first + query / a.group + 1;
  return {a.window > 0 ? std::max<int64_t>(0, end - a.window) : 0, end};
}

Seen seen_by(const Attend& a, int64_t query, int64_t segment) {
  const Seen all = seen_by(a, query);
  return {std::max(all.begin, segment * attend_segment_length),
          std::min(all.end, (segment + 1) * attend_segment_length)};
}

struct State {
  float* sums;
  float* largest;
  float* values;
};

State state_at(float* states, int64_t index, int64_t head_dim) {
  float* at = states + index * attend_state(head_dim);
  return {at, at + 16, at + 32};
}

void join(const State& total, const State& part, int64_t head_dim) {
  const float largest = std::max(*total.largest, *part.largest);
  const float of_total = std::exp(*total.largest - largest);
  const float of_part = std::exp(*part.largest - largest);
  *total.largest = largest;
  for (int64_t i = 0; i < 16; ++i) total.sums[i] = total.sums[i] * of_total + part.sums[i] * of_part;
  for (int64_t i = 0; i < head_dim; ++i) total.values[i] = total.values[i] * of_total + part.values[i] * of_part;
}

void put_output(const Attend& a, int64_t query, const State& total) {
  float sums[16];
  std::copy_n(total.sums, 16, sums);
  const float sum = add_by_halves(sums);
  float* output = a.output + query / a.group * a.ldo + query % a.group * a.head_dim;
  for (int64_t i = 0; i < a.head_dim; ++i) output[i] = total.values[i] / sum;
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

void attend_segment(const Attend& a, int64_t segment, float* states) {
  const CacheLayout layout{a.head_dim, a.dtype};
  for (int64_t query = 0; query < a.rows * a.group; ++query) {
    const Seen seen = seen_by(a, query, segment);
    if (seen.begin >= seen.end) continue;
    const float* q = a.query + query * a.head_dim;
    const State state = state_at(states, query, a.head_dim);
    float scores[attend_segment_length];
    for (int64_t p = seen.begin; p < seen.end; ++p) {
      float dot = 0;
      for (int64_t i = 0; i < a.head_dim; ++i) {
        dot += q[i] * layout.key(a.blocks[p / cache_block] + a.key_offset, p % cache_block, i);
      }
      scores[p - seen.begin] = a.scale * dot;
    }
    *state.largest = *std::max_element(scores, scores + (seen.end - seen.begin));
    std::fill_n(state.sums, 16, 0.0F);
    std::fill_n(state.values, a.head_dim, 0.0F);
    for (int64_t p = seen.begin; p < seen.end; ++p) {
      const float weight = std::exp(scores[p - seen.begin] - *state.largest);
      state.sums[p % 16] += weight;
      for (int64_t i = 0; i < a.head_dim; ++i) {
        state.values[i] += weight * layout.value(a.blocks[p / cache_block] + a.value_offset, p % cache_block, i);
      }
    }
  }
}

void join_segments(const Attend& a, float* states) {
  const Segments segments = segments_of(a);
  const int64_t queries = a.rows * a.group;
  for (int64_t query = 0; query < queries; ++query) {
    const Seen seen = seen_by(a, query);
    int64_t segment = seen.begin / attend_segment_length;
    const State total = state_at(states, (segment - segments.begin) * queries + query, a.head_dim);
    for (++segment; segment * attend_segment_length < seen.end; ++segment) {
      join(total, state_at(states, (segment - segments.begin) * queries + query, a.head_dim), a.head_dim);
    }
    put_output(a, query, total);
  }
}

void attend(const Attend& a, float* scratch) {
  const Segments segments = segments_of(a);
  const int64_t queries = a.rows * a.group;
  float* parts = scratch + queries * attend_state(a.head_dim);
  for (int64_t segment = segments.begin; segment < segments.end; ++segment) {
    attend_segment(a, segment, parts);
    for (int64_t query = 0; query < queries; ++query) {
      const Seen seen = seen_by(a, query, segment);
      if (seen.begin >= seen.end) continue;
      const State total = state_at(scratch, query, a.head_dim), part = state_at(parts, query, a.head_dim);
      if (seen_by(a, query).begin >= segment * attend_segment_length) {
        std::copy_n(part.sums, attend_state(a.head_dim), total.sums);
      } else {
        join(total, part, a.head_dim);
      }
    }
  }
  for (int64_t query = 0; query < queries; ++query) put_output(a, query, state_at(scratch, query, a.head_dim));
}

void add(const float* a, const float* b, int64_t count, float* sum) {
  for (int64_t i = 0; i < count; ++i) sum[i] = a[i] + b[i];
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
                                     .lora_norms = kernels::reference::lora_norms,
                                     .router = kernels::reference::router,
                                     .activate = kernels::reference::activate,
                                     .add = kernels::reference::add,
                                     .softmax = kernels::reference::softmax,
                                     .rms_norm = kernels::reference::rms_norm,
                                     .attend = kernels::reference::attend,
                                     .attend_segment = kernels::reference::attend_segment,
                                     .join_segments = kernels::reference::join_segments,
                                     .to_bfloat16 = kernels::reference::to_bfloat16};

}  // namespace moxie::kernels::entries
