// LoRA's two products. As in matmul.inl, an element is made by itself, so how many rows run side by side never shows in
// the bits. Nor does what a factor is kept in, its Element: bfloat16 is widened as it is loaded.

namespace {

inline int64_t row_of(const int32_t* index, int64_t i, int32_t first = 0) {
  return index == nullptr ? i : int64_t{index[i]} - first;
}

template <class Element>
inline const Element* panel_at(const FactorPanels& panels, int64_t panel) {
  return static_cast<const Element*>(panels.first) + panel * panels.stride;
}

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

// Row r meets the weights at a + r * apart.
template <int rows, bool same_weights = true, class Element>
inline void shrink_tile(const float* const* x, int64_t length, const Element* a, int64_t apart, float* z, int64_t ldz,
                        bool accumulate) {
  Floats sum[chains][rows][vectors_per_shrink_panel] = {};
  const auto add = [&](int64_t k, int chain) __attribute__((always_inline)) {
#pragma GCC unroll 4
    for (int v = 0; v < vectors_per_shrink_panel; ++v) {
      const Element* at = a + k * shrink_panel_width + v * lanes;
      const Floats weight = load(at);
#pragma GCC unroll 12
      for (int r = 0; r < rows; ++r) {
        const Floats own = same_weights ? weight : load(at + r * apart);
        sum[chain][r][v] = multiply_add(broadcast(x[r][k]), own, sum[chain][r][v]);
      }
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

template <class Element, int rows>
void shrink_rows(const float* const* x, int64_t length, const Element* a, float* z, int64_t ldz, bool accumulate) {
  shrink_tile<rows>(x, length, a, 0, z, ldz, accumulate);
}

template <class Element>
using ShrinkRows = void (*)(const float* const*, int64_t, const Element*, float*, int64_t, bool);

template <class Element, int rows = most_shrink_rows>
ShrinkRows<Element> shrink_rows_for(int64_t wanted) {
  if (wanted == rows) return shrink_rows<Element, rows>;
  if constexpr (rows > 1) return shrink_rows_for<Element, rows - 1>(wanted);
  return nullptr;
}

// A core reads ahead in several stretches at a time, and gets more of them together than of one after another.
constexpr int most_stretches = 4;

// One row's sums over `count` pieces of k, each into z of its own; pieces lie within blocks.
template <class Element>
void shrink_pieces(const float* x, const Element* a, int64_t length, int64_t count, float* z, int64_t ldz) {
  constexpr int stretches = most_shrink_rows < most_stretches ? most_shrink_rows : most_stretches;
  const int64_t each = count / stretches, apart = each * length;
  for (int64_t i = 0; i < each; ++i) {
    const float* from[stretches];
    for (int s = 0; s < stretches; ++s) from[s] = x + i * length + s * apart;
    shrink_tile<stretches, false>(from, length, a + i * length * shrink_panel_width, apart * shrink_panel_width,
                                  z + i * ldz, each * ldz, false);
  }
  for (int64_t i = each * stretches; i < count; ++i) {
    const float* from = x + i * length;
    shrink_rows<Element, 1>(&from, length, a + i * length * shrink_panel_width, z + i * ldz, ldz, false);
  }
}

// Adds a panel's sums over whole blocks from k on, as many as there is room for, and returns where they end.
template <class Element>
int64_t shrink_blocks(const float* x, const Element* a, int64_t k, int64_t k_end, float* z, bool accumulate) {
  constexpr int64_t most = 64;
  float totals[most * shrink_panel_width];
  const int64_t blocks = (k_end - k) / block_length, count = blocks < most ? blocks : most;
  shrink_pieces(x, a + k * shrink_panel_width, block_length, count, totals, shrink_panel_width);
  for (int64_t i = 0; i < count; ++i) {
    for (int64_t j = 0; j < shrink_panel_width; ++j) {
      const float total = totals[i * shrink_panel_width + j];
      z[j] = accumulate || i > 0 ? z[j] + total : total;
    }
  }
  return k + count * block_length;
}

template <class Element>
void shrink_one_row(const LoraShrink& s, const Element* a, float* z) {
  const float* x = s.x + row_of(s.rows_of, 0) * s.ldx;
  int64_t k = s.k_begin;
  while (k % block_length == 0 && k + block_length <= s.k_end) {
    k = shrink_blocks(x + (k - s.k_begin), a, k, s.k_end, z, k > s.k_begin);
  }
  for (; k < s.k_end; k = end_of_block(k, s.k_end)) {
    const float* from = x + (k - s.k_begin);
    shrink_rows<Element, 1>(&from, end_of_block(k, s.k_end) - k, a + k * shrink_panel_width, z, s.ldz, k > s.k_begin);
  }
}

template <class Element>
void shrink(const LoraShrink& s) {
  const Split groups(s.rows, most_shrink_rows);
  for (int64_t panel = 0; panel < s.a.count; ++panel) {
    const auto* a = panel_at<Element>(s.a, panel);
    float* z = s.z + panel * shrink_panel_width;
    if (s.rows == 1) {
      shrink_one_row(s, a, z);
      continue;
    }
    // A block of A stays in the first-level cache while the rows pass by.
    for (int64_t k = s.k_begin; k < s.k_end; k = end_of_block(k, s.k_end)) {
      for (int64_t group = 0; group < groups.parts; ++group) {
        const int64_t first = groups.begin(group), count = groups.begin(group + 1) - first;
        const float* x[most_shrink_rows];
        for (int64_t r = 0; r < count; ++r) x[r] = s.x + row_of(s.rows_of, first + r) * s.ldx + (k - s.k_begin);
        shrink_rows_for<Element>(count)(x, end_of_block(k, s.k_end) - k, a + k * shrink_panel_width, z + first * s.ldz,
                                        s.ldz, k > s.k_begin);
      }
    }
  }
}

template <class Element>
void shrink_parts(const LoraShrink& s) {
  int64_t done = 0;
  if (s.rows == 1) {
    done = (s.k_end - s.k_begin) / s.part;
    const float* x = s.x + row_of(s.rows_of, 0) * s.ldx;
    for (int64_t panel = 0; panel < s.a.count; ++panel) {
      const auto* a = panel_at<Element>(s.a, panel) + s.k_begin * shrink_panel_width;
      shrink_pieces(x, a, s.part, done, s.z + panel * shrink_panel_width, s.ld_part);
    }
  }
  LoraShrink one = s;
  one.part = 0;
  for (int64_t i = done; s.k_begin + i * s.part < s.k_end; ++i) {
    one.k_begin = s.k_begin + i * s.part;
    one.k_end = s.k_end - one.k_begin < s.part ? s.k_end : one.k_begin + s.part;
    one.x = s.x + i * s.part;
    one.z = s.z + i * s.ld_part;
    shrink<Element>(one);
  }
}

constexpr int most_expand_rows = registers == 32 ? 8 : 6;

// `panels` of them, each `apart` panels behind the one before.
template <int rows, int panels, int vectors, class Element>
inline void expand_tile(const float* z, int64_t ldz, int64_t rank, const Element* b, int64_t panel_stride,
                        int64_t apart, const float* const* from, float* const* to, int64_t column) {
  constexpr int columns = panels * vectors;
  Floats sum[rows][columns] = {};
  for (int64_t j = 0; j < rank; ++j) {
    Floats weights[columns];
#pragma GCC unroll 16
    for (int c = 0; c < columns; ++c) {
      weights[c] = load(b + c / vectors * apart * panel_stride + j * expand_panel_width + c % vectors * lanes);
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
      const int64_t at = column + c / vectors * apart * expand_panel_width + c % vectors * lanes;
      store(to[r] + at, from[r] == nullptr ? sum[r][c] : load(from[r] + at) + sum[r][c]);
    }
  }
}

template <class Element, int rows>
void expand_rows(const LoraExpand& e, const float* z, const float* const* from, float* const* to) {
  constexpr int stretches = panels_of_tile(rows, rows == 1 ? most_stretches : 2);
  constexpr int vectors = vectors_at_once(rows);
  const int64_t stride = e.b.stride, each = e.b.count / stretches;
  const auto* b = panel_at<Element>(e.b, 0);
  for (int64_t panel = 0; panel < each; ++panel) {
    for (int first = 0; first < vectors_per_panel; first += vectors) {
      expand_tile<rows, stretches, vectors>(z, e.ldz, e.rank, b + panel * stride + first * lanes, stride, each, from,
                                            to, panel * panel_width + first * lanes);
    }
  }
  for (int64_t panel = each * stretches; panel < e.b.count; ++panel) {
    for (int first = 0; first < vectors_per_panel; first += vectors) {
      expand_tile<rows, 1, vectors>(z, e.ldz, e.rank, b + panel * stride + first * lanes, stride, 1, from, to,
                                    panel * panel_width + first * lanes);
    }
  }
}

using ExpandRows = void (*)(const LoraExpand&, const float*, const float* const*, float* const*);

template <class Element, int rows = most_expand_rows>
ExpandRows expand_rows_for(int64_t wanted) {
  if (wanted == rows) return expand_rows<Element, rows>;
  if constexpr (rows > 1) return expand_rows_for<Element, rows - 1>(wanted);
  return nullptr;
}

template <class Element>
void expand(const LoraExpand& e) {
  const Split groups(e.rows, most_expand_rows);
  for (int64_t group = 0; group < groups.parts; ++group) {
    const int64_t first = groups.begin(group), count = groups.begin(group + 1) - first;
    const float* from[most_expand_rows];
    float* to[most_expand_rows];
    for (int64_t r = 0; r < count; ++r) {
      from[r] = e.from == nullptr ? nullptr : e.from + row_of(e.from_rows, first + r, e.first_row) * e.ld_from;
      to[r] = e.to + row_of(e.to_rows, first + r, e.first_row) * e.ld_to;
    }
    expand_rows_for<Element>(count)(e, e.z + first * e.ldz, from, to);
  }
}

}  // namespace

void lora_shrink(const LoraShrink& s) {
  const bool narrow = s.a.dtype == MOX_BF16;
  if (s.part != 0) {
    (narrow ? shrink_parts<bfloat16> : shrink_parts<float>)(s);
  } else {
    (narrow ? shrink<bfloat16> : shrink<float>)(s);
  }
}

void lora_expand(const LoraExpand& e) { (e.b.dtype == MOX_BF16 ? expand<bfloat16> : expand<float>)(e); }
