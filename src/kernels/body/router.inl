// Gate products. A logit is summed in sixteen lanes and by halves on every instruction set, so that a row meets the
// same experts on every machine.

namespace {

// As many rows and experts side by side as there are registers for their sums.
constexpr int router_rows = lanes == 4 ? 2 : 4;
constexpr int router_experts = lanes == 16 ? 4 : 1;
// Rows that are copied together, and experts that one copy of a piece of them serves.
constexpr int64_t router_rows_of_block = 2 * router_rows;
constexpr int64_t router_block = 64;
// Columns of a piece: the copy stays in the nearest cache. Between pieces the lanes' sums wait in memory as they are,
// so the cut leaves no trace in the result.
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

// Lane sums of all rows over k columns, a multiple of sixteen: all rows meet a few gates before the next ones' turn.
template <int experts>
void gate_rows(const float* x, int64_t ldx, int64_t rows, const float* gate, int64_t gate_stride, int64_t k,
               float* sums, bool begun) {
  int64_t row = 0;
  const auto take = [&](auto products, int count) {
    products(x + row * ldx, ldx, gate, gate_stride, k, sums + row * router_block * sixteen, begun);
    row += count;
  };
  while (rows - row >= router_rows) take(gate_products<router_rows, experts>, router_rows);
  static_assert(router_rows <= 4);
  if (rows - row == 3) take(gate_products<3, experts>, 3);
  if (rows - row == 2) take(gate_products<2, experts>, 2);
  if (rows - row == 1) take(gate_products<1, experts>, 1);
}

void gate_piece(const float* x, int64_t ldx, int64_t rows, const float* gate, int64_t gate_stride, int64_t experts,
                int64_t k, float* sums, bool begun) {
  int64_t e = 0;
  for (; e + router_experts <= experts; e += router_experts) {
    gate_rows<router_experts>(x, ldx, rows, gate + e * gate_stride, gate_stride, k, sums + e * sixteen, begun);
  }
  for (; e < experts; ++e) {
    gate_rows<1>(x, ldx, rows, gate + e * gate_stride, gate_stride, k, sums + e * sixteen, begun);
  }
}

// Rows often stand a power of two apart, where they would push each other out of the nearest cache: they are read from
// a copy.
void gate_copied(const float* x, int64_t ldx, int64_t rows, const float* gate, int64_t gate_stride, int64_t experts,
                 int64_t k, float* sums) {
  alignas(64) float piece[router_rows_of_block * router_piece];
  int64_t i = 0;
  do {
    const int64_t columns = k - i < router_piece ? k - i : router_piece;
    for (int64_t r = 0; r < rows; ++r) {
      const float* from = x + r * ldx + i;
      for (int64_t c = 0; c < columns; c += lanes) {
        store(piece + r * router_piece + c, load(from));
        from += lanes;
        // Or GCC makes a string instruction of the loop, which waits for memory line by line.
        asm("" : "+r"(from));
      }
    }
    gate_piece(piece, router_piece, rows, gate + i, gate_stride, experts, columns, sums, i > 0);
    i += router_piece;
  } while (i < k);
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
  alignas(64) float sums[router_rows_of_block * router_block * sixteen];
  const int64_t whole = k / sixteen * sixteen;
  for (int64_t e = 0; e < experts; e += router_block) {
    const int64_t of_experts = experts - e < router_block ? experts - e : router_block;
    const float* gates = gate + e * gate_stride;
    for (int64_t row = 0; row < rows; row += router_rows_of_block) {
      const int64_t of_rows = rows - row < router_rows_of_block ? rows - row : router_rows_of_block;
      const float* from = x + row * ldx;
      if (of_rows >= router_rows) {
        gate_copied(from, ldx, of_rows, gates, gate_stride, of_experts, whole, sums);
      } else {
        // Too few rows for a tile: nothing is read twice, and memory likes long runs.
        gate_piece(from, ldx, of_rows, gates, gate_stride, of_experts, whole, sums, false);
      }
      if (whole < k) gate_rest(from + whole, ldx, of_rows, gates + whole, gate_stride, of_experts, k - whole, sums);
      add_lanes(of_rows, of_experts, sums, logits + row * ld + e, ld);
    }
  }
}
