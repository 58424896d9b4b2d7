// The products by Eigen, for processors without AVX-512 and as a second opinion.
//
// Eigen chooses its blocking by the shape of the operands, and the path of a row by its place in them. So it only ever
// sees one shape: 32 columns of a panel times 16 rows, missing rows filled up with zeros, one block of 256 at a time.
// The panel stands on the left, where the places are columns of the weight; on the right, 16 rows are four equal groups
// of four. A row's bits then depend neither on its place nor on its neighbours.
#define EIGEN_DONT_PARALLELIZE
#include <Eigen/Core>
#include <algorithm>
#include <cstring>

#include "kernels/entries.h"
#include "kernels/portable/portable.h"

namespace moxie::kernels::eigen {
namespace {

constexpr int64_t block_length = 256;
constexpr int64_t rows_at_once = 16;

// Column-major [32, length] is the panel's own [length][32]; column-major [length, 16] are 16 rows of activations.
using Panel = Eigen::Map<const Eigen::Matrix<float, panel_width, Eigen::Dynamic>, Eigen::Aligned16>;
using Rows = Eigen::Map<const Eigen::Matrix<float, Eigen::Dynamic, rows_at_once>, Eigen::Aligned16>;
using Sums = Eigen::Matrix<float, panel_width, rows_at_once>;

struct Scratch {
  alignas(64) float rows[rows_at_once * block_length];
  alignas(64) float panel[block_length * panel_width];
};

void copy_rows_f32(const Matmul& m, int64_t row, int64_t count, int64_t k, int64_t length, float* to) {
  for (int64_t r = 0; r < count; ++r) {
    std::memcpy(to + r * length, static_cast<const float*>(m.a) + (row + r) * m.lda + (k - m.k_begin),
                static_cast<size_t>(length) * sizeof(float));
  }
}

void copy_rows_bf16(const Matmul& m, int64_t row, int64_t count, int64_t k, int64_t length, float* to) {
  for (int64_t r = 0; r < count; ++r) {
    const bfloat16* from = static_cast<const bfloat16*>(m.a) + (row + r) * m.lda + (k - m.k_begin);
    for (int64_t i = 0; i < length; ++i) to[r * length + i] = widen_bfloat16(from[i]);
  }
}

const float* panel_f32(const Matmul& m, int64_t panel, int64_t k, int64_t, float*) { return m.w->panel_f32(panel, k); }

const float* panel_bf16(const Matmul& m, int64_t panel, int64_t k, int64_t length, float* widened) {
  alignas(64) bfloat16 room[block_length * panel_width];
  const bfloat16* pairs = m.w->words(panel, k, k + length, room);
  for (int64_t i = 0; i < length; ++i) {
    for (int64_t j = 0; j < panel_width; ++j) {
      widened[i * panel_width + j] = widen_bfloat16(pairs[(i / 2 * panel_width + j) * 2 + i % 2]);
    }
  }
  return widened;
}

template <auto copy_rows, auto panel_of>
void matmul(const Matmul& m) {
  Scratch scratch;
  for (int64_t panel = m.panel_begin; panel < m.panel_end; ++panel) {
    float* c = m.c + (panel - m.panel_begin) * panel_width;
    if (m.k_begin >= m.k_end && !m.accumulate) {
      for (int64_t row = 0; row < m.rows; ++row) std::fill_n(c + row * m.ldc, panel_width, 0.0F);
    }
    for (int64_t k = m.k_begin; k < m.k_end;) {
      const int64_t length = std::min((k / block_length + 1) * block_length, m.k_end) - k;
      const float* weights = panel_of(m, panel, k, length, scratch.panel);
      for (int64_t row = 0; row < m.rows; row += rows_at_once) {
        const int64_t count = std::min(rows_at_once, m.rows - row);
        copy_rows(m, row, count, k, length, scratch.rows);
        std::fill_n(scratch.rows + count * length, (rows_at_once - count) * length, 0.0F);
        Sums sums;
        sums.noalias() = Panel(weights, panel_width, length) * Rows(scratch.rows, length, rows_at_once);
        for (int64_t r = 0; r < count; ++r) {
          float* to = c + (row + r) * m.ldc;
          const bool add = m.accumulate || k > m.k_begin;
          for (int64_t j = 0; j < panel_width; ++j) to[j] = add ? to[j] + sums(j, r) : sums(j, r);
        }
      }
      k += length;
    }
  }
}

void matmul_f32(const Matmul& m) { matmul<copy_rows_f32, panel_f32>(m); }
void matmul_bf16(const Matmul& m) { matmul<copy_rows_bf16, panel_bf16>(m); }

}  // namespace
}  // namespace moxie::kernels::eigen

namespace moxie::kernels::entries {

constinit const Kernels eigen = {.name = "eigen",
                                 .backend = MOX_BACKEND_EIGEN,
                                 .isa = MOX_ISA_PORTABLE,
                                 .matmul_f32 = kernels::eigen::matmul_f32,
                                 .matmul_bf16 = kernels::eigen::matmul_bf16,
                                 .lora_shrink = kernels::portable::lora_shrink,
                                 .lora_expand = kernels::portable::lora_expand,
                                 .lora_norms = kernels::portable::lora_norms,
                                 .router = kernels::portable::router,
                                 .activate = kernels::portable::activate,
                                 .add = kernels::portable::add,
                                 .softmax = kernels::portable::softmax,
                                 .rms_norm = kernels::portable::rms_norm,
                                 .attend = kernels::portable::attend,
                                 .attend_segment = kernels::portable::attend_segment,
                                 .join_segments = kernels::portable::join_segments,
                                 .to_bfloat16 = kernels::portable::to_bfloat16};

}  // namespace moxie::kernels::entries
