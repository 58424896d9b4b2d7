// LoRA's two products. As in matmul.inl, an element is made by itself, so how many rows run side by side never shows in
// the bits.

namespace {

constexpr int vectors_per_shrink_panel = shrink_panel_width / lanes;

// One row must keep the multipliers busy: a block's terms are dealt in turn to this many chains, which are then added
// by halves.
constexpr int chains = registers == 32 ? 4 : 2;

constexpr int shrink_rows_at_once(int vectors) {
  const int rows = sum_registers / (chains * vectors);
  return rows < 1 ? 1 : rows;
}

// Rows whose sums for one panel of A stay in registers.
constexpr int most_shrink_rows = shrink_rows_at_once(vectors_per_shrink_panel);

template <int rows>
void shrink_rows(const float* const* x, int64_t length, const float* a, float* z, int64_t ldz, bool accumulate) {
  Floats sum[chains][rows][vectors_per_shrink_panel] = {};
  const auto add = [&](int64_t k, int chain) __attribute__((always_inline)) {
#pragma GCC unroll 4
    for (int v = 0; v < vectors_per_shrink_panel; ++v) {
      const Floats weight = load(a + k * shrink_panel_width + v * lanes);
#pragma GCC unroll 12
      for (int r = 0; r < rows; ++r) sum[chain][r][v] = multiply_add(broadcast(x[r][k]), weight, sum[chain][r][v]);
    }
  };
  int64_t k = 0;
  for (; k + chains <= length; k += chains) {
#pragma GCC unroll 4
    for (int chain = 0; chain < chains; ++chain) add(k + chain, chain);
  }
#pragma GCC unroll 3
  for (int chain = 0; chain < chains - 1; ++chain) {
    if (k + chain < length) add(k + chain, chain);
  }
#pragma GCC unroll 12
  for (int r = 0; r < rows; ++r) {
#pragma GCC unroll 4
    for (int v = 0; v < vectors_per_shrink_panel; ++v) {
      Floats total = sum[0][r][v] + sum[1][r][v];
      if constexpr (chains == 4) total += sum[2][r][v] + sum[3][r][v];
      float* to = z + r * ldz + v * lanes;
      store(to, accumulate ? load(to) + total : total);
    }
  }
}

using ShrinkRows = void (*)(const float* const*, int64_t, const float*, float*, int64_t, bool);

template <int rows = most_shrink_rows>
ShrinkRows shrink_rows_for(int64_t wanted) {
  if (wanted == rows) return shrink_rows<rows>;
  if constexpr (rows > 1) return shrink_rows_for<rows - 1>(wanted);
  return nullptr;
}

constexpr int most_expand_rows = registers == 32 ? 8 : 6;

template <int rows, int panels, int vectors>
inline void expand_tile(const float* z, int64_t ldz, int64_t rank, const float* b, int64_t panel_stride,
                        const float* const* from, float* const* to, int64_t column) {
  constexpr int columns = panels * vectors;
  Floats sum[rows][columns] = {};
  for (int64_t j = 0; j < rank; ++j) {
    Floats weights[columns];
#pragma GCC unroll 16
    for (int c = 0; c < columns; ++c) {
      weights[c] = load(b + c / vectors * panel_stride + j * expand_panel_width + c % vectors * lanes);
    }
#pragma GCC unroll 12
    for (int r = 0; r < rows; ++r) {
      const Floats factor = broadcast(z[r * ldz + j]);
#pragma GCC unroll 16
      for (int c = 0; c < columns; ++c) sum[r][c] = multiply_add(factor, weights[c], sum[r][c]);
    }
  }
#pragma GCC unroll 12
  for (int r = 0; r < rows; ++r) {
#pragma GCC unroll 16
    for (int c = 0; c < columns; ++c) {
      const int64_t at = column + c / vectors * expand_panel_width + c % vectors * lanes;
      store(to[r] + at, load(from[r] + at) + sum[r][c]);
    }
  }
}

template <int rows>
void expand_rows(const LoraExpand& e, const float* z, const float* const* from, float* const* to) {
  constexpr int together = panels_of_tile(rows, 2);
  constexpr int vectors = vectors_at_once(rows);
  const int64_t panels = e.b.count, stride = e.b.stride;
  const float* b = e.b.first;
  int64_t panel = 0;
  for (; panel + together <= panels; panel += together, b += together * stride) {
    for (int first = 0; first < vectors_per_panel; first += vectors) {
      expand_tile<rows, together, vectors>(z, e.ldz, e.rank, b + first * lanes, stride, from, to,
                                           panel * panel_width + first * lanes);
    }
  }
  if constexpr (together > 1) {
    for (; panel < panels; ++panel, b += stride) {
      for (int first = 0; first < vectors_per_panel; first += vectors) {
        expand_tile<rows, 1, vectors>(z, e.ldz, e.rank, b + first * lanes, stride, from, to,
                                      panel * panel_width + first * lanes);
      }
    }
  }
}

using ExpandRows = void (*)(const LoraExpand&, const float*, const float* const*, float* const*);

template <int rows = most_expand_rows>
ExpandRows expand_rows_for(int64_t wanted) {
  if (wanted == rows) return expand_rows<rows>;
  if constexpr (rows > 1) return expand_rows_for<rows - 1>(wanted);
  return nullptr;
}

inline int64_t row_of(const int32_t* index, int64_t i, int32_t first = 0) {
  return index == nullptr ? i : int64_t{index[i]} - first;
}

}  // namespace

void lora_shrink(const LoraShrink& s) {
  const Split groups(s.rows, most_shrink_rows);
  for (int64_t panel = 0; panel < s.a.count; ++panel) {
    const float* a = s.a.first + panel * s.a.stride;
    float* z = s.z + panel * shrink_panel_width;
    // A block of A stays in the first-level cache while the rows pass by.
    for (int64_t k = s.k_begin; k < s.k_end; k = end_of_block(k, s.k_end)) {
      for (int64_t group = 0; group < groups.parts; ++group) {
        const int64_t first = groups.begin(group), count = groups.begin(group + 1) - first;
        const float* x[most_shrink_rows];
        for (int64_t r = 0; r < count; ++r) x[r] = s.x + row_of(s.rows_of, first + r) * s.ldx + (k - s.k_begin);
        shrink_rows_for(count)(x, end_of_block(k, s.k_end) - k, a + k * shrink_panel_width, z + first * s.ldz, s.ldz,
                               k > s.k_begin);
      }
    }
  }
}

void lora_expand(const LoraExpand& e) {
  const Split groups(e.rows, most_expand_rows);
  for (int64_t group = 0; group < groups.parts; ++group) {
    const int64_t first = groups.begin(group), count = groups.begin(group + 1) - first;
    const float* from[most_expand_rows];
    float* to[most_expand_rows];
    for (int64_t r = 0; r < count; ++r) {
      from[r] = e.from + row_of(e.from_rows, first + r, e.first_row) * e.ld_from;
      to[r] = e.to + row_of(e.to_rows, first + r, e.first_row) * e.ld_to;
    }
    expand_rows_for(count)(e, e.z + first * e.ldz, from, to);
  }
}
