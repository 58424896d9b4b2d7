// Norms of W + scaling * B A, in double. Plain loops: the compiler makes the vectors of each instruction set of them.
//
// Rows are taken together, so that A is widened once for all of them, and columns in pieces whose sums stay in the
// first-level cache.

namespace {

constexpr int64_t norm_rows = 8;
constexpr int64_t norm_columns = 128;
constexpr int norm_lanes = 8;

using NormColumns = double[norm_columns];

// Behind the columns in use are zeros, so that every loop has the same length.
inline void widen_columns(const float* from, int64_t columns, NormColumns& to) {
  for (int64_t c = 0; c < columns; ++c) to[c] = from[c];
  for (int64_t c = columns; c < norm_columns; ++c) to[c] = 0;
}

// sum += factor[0] * a[0] + ..., one after the other.
template <int terms>
inline void add_norm_terms(const double* factor, const NormColumns* a, NormColumns& sum) {
  for (int64_t c = 0; c < norm_columns; ++c) {
    double value = sum[c];
#pragma GCC unroll 4
    for (int j = 0; j < terms; ++j) value += factor[j] * a[j][c];
    sum[c] = value;
  }
}

// sum[r] += scaling * b[r][j] * a[j], j = first .. first + terms - 1.
template <int terms>
inline void add_norm_products(const LoraNorms& n, int64_t row, int64_t rows, int64_t column, int64_t columns,
                              int64_t first, NormColumns* sum) {
  alignas(64) NormColumns a[terms];
  for (int j = 0; j < terms; ++j) widen_columns(n.a + (first + j) * n.in + column, columns, a[j]);
  for (int64_t r = 0; r < rows; ++r) {
    double factor[terms];
    for (int j = 0; j < terms; ++j) factor[j] = n.scaling * n.b[(row + r) * n.rank + first + j];
    add_norm_terms<terms>(factor, a, sum[r]);
  }
}

inline void add_norm_columns(const LoraNorms& n, int64_t row, int64_t rows, int64_t column, int64_t columns,
                             double (*squares)[norm_lanes]) {
  alignas(64) NormColumns sum[norm_rows];
  for (int64_t r = 0; r < rows; ++r) widen_columns(n.w + (row + r) * n.in + column, columns, sum[r]);
  constexpr int together = 4;
  int64_t j = 0;
  for (; j + together <= n.rank; j += together) add_norm_products<together>(n, row, rows, column, columns, j, sum);
  for (; j < n.rank; ++j) add_norm_products<1>(n, row, rows, column, columns, j, sum);
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t c = 0; c < norm_columns; c += norm_lanes) {
      for (int lane = 0; lane < norm_lanes; ++lane) squares[r][lane] += sum[r][c + lane] * sum[r][c + lane];
    }
  }
}

}  // namespace

void lora_norms(const LoraNorms& n) {
  for (int64_t row = 0; row < n.rows; row += norm_rows) {
    const int64_t rows = n.rows - row < norm_rows ? n.rows - row : norm_rows;
    double squares[norm_rows][norm_lanes] = {};
    for (int64_t column = 0; column < n.in; column += norm_columns) {
      const int64_t columns = n.in - column < norm_columns ? n.in - column : norm_columns;
      add_norm_columns(n, row, rows, column, columns, squares);
    }
    for (int64_t r = 0; r < rows; ++r) {
      double* lane = squares[r];
      for (int half = norm_lanes / 2; half > 0; half /= 2) {
        for (int i = 0; i < half; ++i) lane[i] += lane[i + half];
      }
      n.norms[row + r] = __builtin_sqrt(lane[0]);
    }
  }
}
