// Gate products. A logit is summed in sixteen lanes and by halves on every instruction set, so that a row meets the
// same experts on every machine.

namespace {

// As many rows and experts side by side as there are registers for their sums.
constexpr int router_side = lanes == 16 ? 4 : lanes == 8 ? 2 : 1;

template <int rows, int experts>
void gate_products(const float* x, int64_t ldx, const float* gate, int64_t gate_stride, int64_t k, float* logits,
                   int64_t ld) {
  Sixteen sum[rows][experts];
  int64_t i = 0;
  for (; i + sixteen <= k; i += sixteen) {
#pragma GCC unroll 4
    for (int r = 0; r < rows; ++r) {
#pragma GCC unroll 4
      for (int e = 0; e < experts; ++e) sum[r][e].add_products(x + r * ldx + i, gate + e * gate_stride + i);
    }
  }
  for (int r = 0; r < rows; ++r) {
    const Rest rest_of_x(x + r * ldx + i, k - i);
    for (int e = 0; e < experts; ++e) {
      const Rest rest_of_gate(gate + e * gate_stride + i, k - i);
      sum[r][e].add_products(rest_of_x.values, rest_of_gate.values);
      logits[r * ld + e] = sum[r][e].total();
    }
  }
}

template <int rows>
void gate_rows(const float* x, int64_t ldx, const float* gate, int64_t gate_stride, int64_t experts, int64_t k,
               float* logits, int64_t ld) {
  int64_t e = 0;
  for (; e + router_side <= experts; e += router_side) {
    gate_products<rows, router_side>(x, ldx, gate + e * gate_stride, gate_stride, k, logits + e, ld);
  }
  for (; e < experts; ++e) gate_products<rows, 1>(x, ldx, gate + e * gate_stride, gate_stride, k, logits + e, ld);
}

}  // namespace

void router(const float* x, int64_t ldx, int64_t rows, const float* gate, int64_t gate_stride, int64_t experts,
            int64_t k, float* logits, int64_t ld) {
  int64_t row = 0;
  for (; row + router_side <= rows; row += router_side) {
    gate_rows<router_side>(x + row * ldx, ldx, gate, gate_stride, experts, k, logits + row * ld, ld);
  }
  for (; row < rows; ++row) {
    gate_rows<1>(x + row * ldx, ldx, gate, gate_stride, experts, k, logits + row * ld, ld);
  }
}
