#include <algorithm>
#include <cmath>

#include "kernels/reference/reference.h"

namespace moxie::kernels::reference {
namespace {

constexpr int64_t block_length = 256;

int64_t row_of(const int32_t* rows, int64_t i, int32_t first = 0) {
  return rows == nullptr ? i : int64_t{rows[i]} - first;
}

float element(const FactorPanels& panels, int64_t index) {
  if (panels.dtype == MOX_BF16) return widen_bfloat16(static_cast<const bfloat16*>(panels.first)[index]);
  return static_cast<const float*>(panels.first)[index];
}

}  // namespace

void lora_shrink(const LoraShrink& s) {
  if (s.part != 0) {
    LoraShrink one = s;
    one.part = 0;
    for (; one.k_begin < s.k_end; one.k_begin = one.k_end, one.x += s.part, one.z += s.ld_part) {
      one.k_end = std::min(one.k_begin + s.part, s.k_end);
      lora_shrink(one);
    }
    return;
  }
  for (int64_t i = 0; i < s.rows; ++i) {
    const float* x = s.x + row_of(s.rows_of, i) * s.ldx;
    for (int64_t j = 0; j < s.a.count * shrink_panel_width; ++j) {
      const int64_t feature = j / shrink_panel_width * s.a.stride + j % shrink_panel_width;
      float total = 0;
      for (int64_t k = s.k_begin; k < s.k_end;) {
        float sum = 0;
        do {
          sum += x[k - s.k_begin] * element(s.a, feature + k * shrink_panel_width);
          ++k;
        } while (k < s.k_end && k % block_length != 0);
        total += sum;
      }
      s.z[i * s.ldz + j] = total;
    }
  }
}

void lora_expand(const LoraExpand& e) {
  for (int64_t i = 0; i < e.rows; ++i) {
    const float* from = e.from == nullptr ? nullptr : e.from + row_of(e.from_rows, i, e.first_row) * e.ld_from;
    float* to = e.to + row_of(e.to_rows, i, e.first_row) * e.ld_to;
    for (int64_t c = 0; c < e.b.count * expand_panel_width; ++c) {
      const int64_t feature = c / expand_panel_width * e.b.stride + c % expand_panel_width;
      float sum = 0;
      for (int64_t j = 0; j < e.rank; ++j) sum += e.z[i * e.ldz + j] * element(e.b, feature + j * expand_panel_width);
      to[c] = from == nullptr ? sum : from[c] + sum;
    }
  }
}

void lora_norms(const LoraNorms& n) {
  for (int64_t r = 0; r < n.rows; ++r) {
    double squares[8] = {};
    for (int64_t c = 0; c < n.in; ++c) {
      double sum = n.w[r * n.in + c];
      for (int64_t j = 0; j < n.rank; ++j) sum += n.scaling * n.b[r * n.rank + j] * n.a[j * n.in + c];
      squares[c % 8] += sum * sum;
    }
    for (int half = 4; half > 0; half /= 2) {
      for (int i = 0; i < half; ++i) squares[i] += squares[i + half];
    }
    n.norms[r] = std::sqrt(squares[0]);
  }
}

}  // namespace moxie::kernels::reference
