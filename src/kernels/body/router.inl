// Gate products. A logit is summed in sixteen lanes and by halves on every instruction set, so that a row meets the
// same experts on every machine.

namespace {

// As many rows and experts side by side as there are registers for their sums.
constexpr int router_rows = lanes == 16 ? 4 : 2;
constexpr int router_experts = lanes == 16 ? 4 : lanes == 8 ? 2 : 1;
// Experts that one copy of a piece of the rows serves.
constexpr int64_t router_block = 16;
// Columns of a piece: with as many of a few gates it stays in the nearest cache. Between pieces the lanes' sums wait in
// memory as they are, so the cut leaves no trace in the result.
constexpr int64_t router_piece = 512;

template <int rows, int experts>
void gate_products(const float* x, int64_t ldx, const float* gate, int64_t gate_stride, int64_t k, float* sums,
                   bool begun) {
  Sixteen sum[rows][experts];
  if (begun) {
#pragma GCC unroll 4
    for (int r = 0; r < rows; ++r) {
#pragma GCC unroll 4
      for (int e = 0; e < experts; ++e) sum[r][e].read(sums + (r * router_block + e) * sixteen);
    }
  }
  for (int64_t i = 0; i < k; i += sixteen) {
#pragma GCC unroll 4
    for (int v = 0; v < vectors_of_sixteen; ++v) {
      Floats gates[experts];
#pragma GCC unroll 4
      for (int e = 0; e < experts; ++e) gates[e] = load(gate + e * gate_stride + i + v * lanes);
#pragma GCC unroll 4
      for (int r = 0; r < rows; ++r) {
        const Floats of_row = load(x + r * ldx + i + v * lanes);
#pragma GCC unroll 4
        for (int e = 0; e < experts; ++e) sum[r][e].part[v] += of_row * gates[e];
      }
    }
  }
#pragma GCC unroll 4
  for (int r = 0; r < rows; ++r) {
#pragma GCC unroll 4
    for (int e = 0; e < experts; ++e) sum[r][e].write(sums + (r * router_block + e) * sixteen);
  }
}

// Lane sums of a few rows over k columns, a multiple of sixteen.
template <int rows>
void gate_piece(const float* x, int64_t ldx, const float* gate, int64_t gate_stride, int64_t experts, int64_t k,
                float* sums, bool begun) {
  int64_t e = 0;
  for (; e + router_experts <= experts; e += router_experts) {
    gate_products<rows, router_experts>(x, ldx, gate + e * gate_stride, gate_stride, k, sums + e * sixteen, begun);
  }
  for (; e < experts; ++e) {
    gate_products<rows, 1>(x, ldx, gate + e * gate_stride, gate_stride, k, sums + e * sixteen, begun);
  }
}

// Rows often stand a power of two apart, where they would push each other out of the nearest cache: they are read from
// a copy.
void gate_tile(const float* x, int64_t ldx, const float* gate, int64_t gate_stride, int64_t experts, int64_t k,
               float* sums) {
  alignas(64) float piece[router_rows * router_piece];
  int64_t i = 0;
  do {
    const int64_t columns = k - i < router_piece ? k - i : router_piece;
    for (int64_t r = 0; r < router_rows; ++r) {
      const float* from = x + r * ldx + i;
      for (int64_t c = 0; c < columns; c += lanes) {
        store(piece + r * router_piece + c, load(from));
        from += lanes;
        // Or GCC makes a string instruction of the loop, which waits for memory line by line.
        asm("" : "+r"(from));
      }
    }
    gate_piece<router_rows>(piece, router_piece, gate + i, gate_stride, experts, columns, sums, i > 0);
    i += router_piece;
  } while (i < k);
}

// Too few rows for a tile: nothing is read twice, and memory likes long runs.
void gate_few(const float* x, int64_t ldx, int64_t rows, const float* gate, int64_t gate_stride, int64_t experts,
              int64_t k, float* sums) {
  if (rows == 1) {
    gate_piece<1>(x, ldx, gate, gate_stride, experts, k, sums, false);
  } else if (rows == 2) {
    gate_piece<2>(x, ldx, gate, gate_stride, experts, k, sums, false);
  } else {
    gate_piece<router_rows - 1>(x, ldx, gate, gate_stride, experts, k, sums, false);
  }
}

// The columns behind the last sixteen, filled up with zeros.
void gate_rest(const float* x, int64_t ldx, int64_t rows, const float* gate, int64_t gate_stride, int64_t experts,
               int64_t k, float* sums) {
  for (int64_t r = 0; r < rows; ++r) {
    const Rest rest_of_x(x + r * ldx, k);
    for (int64_t e = 0; e < experts; ++e) {
      const Rest rest_of_gate(gate + e * gate_stride, k);
      Sixteen sum;
      sum.read(sums + (r * router_block + e) * sixteen);
      sum.add_products(rest_of_x.values, rest_of_gate.values);
      sum.write(sums + (r * router_block + e) * sixteen);
    }
  }
}

void add_lanes(int64_t rows, int64_t experts, const float* sums, float* logits, int64_t ld) {
  for (int64_t r = 0; r < rows; ++r) {
    const float* of_row = sums + r * router_block * sixteen;
    int64_t e = 0;
    for (; e + lanes <= experts; e += lanes) store(logits + r * ld + e, totals(of_row + e * sixteen));
    for (; e < experts; ++e) {
      Sixteen sum;
      sum.read(of_row + e * sixteen);
      logits[r * ld + e] = sum.total();
    }
  }
}

}  // namespace

void router(const float* x, int64_t ldx, int64_t rows, const float* gate, int64_t gate_stride, int64_t experts,
            int64_t k, float* logits, int64_t ld) {
  alignas(64) float sums[router_rows * router_block * sixteen];
  const int64_t whole = k / sixteen * sixteen;
  for (int64_t e = 0; e < experts; e += router_block) {
    const int64_t of_experts = experts - e < router_block ? experts - e : router_block;
    const float* gates = gate + e * gate_stride;
    for (int64_t row = 0; row < rows; row += router_rows) {
      const int64_t of_rows = rows - row < router_rows ? rows - row : router_rows;
      const float* from = x + row * ldx;
      if (of_rows == router_rows) {
        gate_tile(from, ldx, gates, gate_stride, of_experts, whole, sums);
      } else {
        gate_few(from, ldx, of_rows, gates, gate_stride, of_experts, whole, sums);
      }
      if (whole < k) gate_rest(from + whole, ldx, of_rows, gates + whole, gate_stride, of_experts, k - whole, sums);
      add_lanes(of_rows, of_experts, sums, logits + row * ld + e, ld);
    }
  }
}
