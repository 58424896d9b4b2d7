// Attention's products: queries by transposed keys, and weights by values.
//
// Both are made of chains of multiply-adds that run along the dimension, or along the positions, in ascending order:
// one chain for every number. How many rows stand in a tile, and where a chain pauses in memory, never shows in the
// bits.

namespace {

// Row i of what a chain multiplies with: float32 as it lies, bfloat16 two rows to a word.
struct FloatRows {
  using Word = float;
  static constexpr int64_t rows_per_word = 1;
  template <bool odd>
  static inline Floats of(const float* at) {
    return load(at);
  }
};

struct PairedRows {
  using Word = uint32_t;
  static constexpr int64_t rows_per_word = 2;
  template <bool odd>
  static inline Floats of(const uint32_t* at) {
    return odd ? odd_of(load_words(at)) : even_of(load_words(at));
  }
};

constexpr int most_tile_rows = 6;

constexpr int vectors_beside(int rows) {
  int vectors = 8;
  while (rows * vectors > sum_registers) vectors /= 2;
  return vectors;
}

// What one tile multiplies: c[r][..] (+)= sum over i in [begin, end) of a[r][i] * b[i][..].
template <class Rows>
struct Chains {
  const float* a;
  int64_t lda;
  const typename Rows::Word* b;
  int64_t ldb;
  int64_t begin, end;
  float* c;
  int64_t ldc;
  bool go_on;     // from what c holds
  int64_t ahead;  // bytes from a word of b to one that is needed next, fetched meanwhile; 0: none

  template <bool odd, int rows, int vectors>
  static __attribute__((always_inline)) inline void step(Floats (&sum)[rows][vectors], const float* const (&row)[rows],
                                                         int64_t i, const typename Rows::Word* at) {
    Floats weights[vectors];
#pragma GCC unroll 8
    for (int v = 0; v < vectors; ++v) weights[v] = Rows::template of<odd>(at + v * lanes);
#pragma GCC unroll 8
    for (int r = 0; r < rows; ++r) {
      const Floats factor = broadcast(row[r][i]);
#pragma GCC unroll 8
      for (int v = 0; v < vectors; ++v) sum[r][v] = multiply_add(factor, weights[v], sum[r][v]);
    }
  }

  template <int rows, int vectors, bool fetch>
  __attribute__((noinline)) void columns(int64_t column) const {
    constexpr int64_t line = 64;
    const auto fetch_beside = [distance = ahead](const typename Rows::Word* word) {
      if constexpr (fetch) {
#pragma GCC unroll 8
        for (int64_t i = 0; i < vectors * lanes * 4; i += line) {
          __builtin_prefetch(reinterpret_cast<const char*>(word) + distance + i, 0, 2);
        }
      }
    };
    Floats sum[rows][vectors] = {};
    const float* row[rows];
#pragma GCC unroll 8
    for (int r = 0; r < rows; ++r) {
      row[r] = a + r * lda;
      if (!go_on) continue;
#pragma GCC unroll 8
      for (int v = 0; v < vectors; ++v) sum[r][v] = load(c + r * ldc + column + v * lanes);
    }
    const int64_t stop = end, words = ldb;
    int64_t i = begin;
    const typename Rows::Word* at = b + i / Rows::rows_per_word * words + column;
    if (i % 2 == 1 && i < stop) {
      step<true>(sum, row, i++, at);
      at += words;
    }
    constexpr int64_t two = 2 / Rows::rows_per_word;
    for (; i + 1 < stop; i += 2, at += two * words) {
      fetch_beside(at);
      if constexpr (two > 1) fetch_beside(at + words);
      step<false>(sum, row, i, at);
      step<true>(sum, row, i + 1, at + (two - 1) * words);
    }
    if (i < stop) step<false>(sum, row, i, at);
#pragma GCC unroll 8
    for (int r = 0; r < rows; ++r) {
#pragma GCC unroll 8
      for (int v = 0; v < vectors; ++v) store(c + r * ldc + column + v * lanes, sum[r][v]);
    }
  }

  template <int rows, int vectors>
  inline void all_columns(int64_t column, int64_t count) const {
    for (; column + vectors * lanes <= count; column += vectors * lanes) {
      if (ahead != 0) {
        columns<rows, vectors, true>(column);
      } else {
        columns<rows, vectors, false>(column);
      }
    }
    if constexpr (vectors > 1) {
      if (column < count) all_columns<rows, vectors / 2>(column, count);
    }
  }

  // count: a multiple of sixteen.
  template <int rows = most_tile_rows>
  inline void run(int64_t wanted, int64_t count) const {
    if (wanted == rows) return all_columns<rows, vectors_beside(rows)>(0, count);
    if constexpr (rows > 1) return run<rows - 1>(wanted, count);
  }
};

}  // namespace
