#include <algorithm>
#include <vector>

#include "kernels/reference/reference.h"

namespace moxie::kernels::reference {
namespace {

// The end of the block of 256 that k lies in.
int64_t block_end(int64_t k, int64_t k_end) { return std::min((k / 256 + 1) * 256, k_end); }

float activation_f32(const Matmul& m, int64_t row, int64_t k) {
  return static_cast<const float*>(m.a)[row * m.lda + (k - m.k_begin)];
}

float activation_bf16(const Matmul& m, int64_t row, int64_t k) {
  return widen_bfloat16(static_cast<const bfloat16*>(m.a)[row * m.lda + (k - m.k_begin)]);
}

template <float activation(const Matmul&, int64_t, int64_t)>
void matmul(const Matmul& m) {
  std::vector<float> weights(static_cast<size_t>(m.w->k()));
  for (int64_t column = 0; column < (m.panel_end - m.panel_begin) * panel_width; ++column) {
    m.w->read_row(m.panel_begin * panel_width + column, weights.data());
    for (int64_t row = 0; row < m.rows; ++row) {
      float& c = m.c[row * m.ldc + column];
      float sum = 0;
      if (m.accumulate) sum = c;
      for (int64_t begin = m.k_begin; begin < m.k_end; begin = block_end(begin, m.k_end)) {
        float block = 0;
        for (int64_t k = begin; k < block_end(begin, m.k_end); ++k) {
          block += activation(m, row, k) * weights[static_cast<size_t>(k)];
        }
        sum += block;
      }
      c = sum;
    }
  }
}

}  // namespace

void matmul_f32(const Matmul& m) { matmul<activation_f32>(m); }
void matmul_bf16(const Matmul& m) { matmul<activation_bf16>(m); }

}  // namespace moxie::kernels::reference
