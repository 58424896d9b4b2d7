// bfloat16 without bfloat16 instructions: both operands are widened to float32, where their products are exact.

namespace {

// A word holds the weights of two neighbours in k, the even one in its lower half.
inline Floats even_of(Unsigned words) { return (Floats)(words << 16); }
inline Floats odd_of(Unsigned words) { return (Floats)(words & 0xffff0000U); }

inline Unsigned load_words(const uint32_t* from) {
  Unsigned v;
  __builtin_memcpy(&v, from, sizeof v);
  return v;
}

struct WidenedProduct {
  struct Pair {
    Floats even, odd;
  };
  using Element = float;
  using Word = uint32_t;
  using Activation = Pair;
  using Weight = Pair;
  static constexpr int64_t step = 2;
  static inline Activation activation(const float* a) { return {broadcast(a[0]), broadcast(a[1])}; }
  static inline Weight weight(const uint32_t* w) { return {even_of(load_words(w)), odd_of(load_words(w))}; }
  static inline Floats add(Floats sum, Activation a, Weight w) {
    return multiply_add(a.odd, w.odd, multiply_add(a.even, w.even, sum));
  }
};

constexpr int64_t widened_rows = 64;
constexpr int64_t widened_floats = widened_rows * block_length;  // 64 KiB of stack
constexpr int64_t rows_worth_it = 64;  // from here on widening a panel once is cheaper than in every tile

// An odd end meets one of the zeros behind k.
inline int64_t even_length(const Piece& piece) { return (piece.k_end - piece.k + 1) / 2 * 2; }

// A piece's part of `rows` rows, side by side.
void widen_rows(const Matmul& m, int64_t row, int64_t rows, const Piece& piece, float* widened) {
  const int64_t length = even_length(piece);
  for (int64_t r = 0; r < rows; ++r) {
    const bfloat16* from = static_cast<const bfloat16*>(m.a) + (row + r) * m.lda + (piece.k - m.k_begin);
    for (int64_t k = 0; k < length; ++k) {
      const uint32_t bits = static_cast<uint32_t>(from[k]) << 16;
      __builtin_memcpy(widened + r * length + k, &bits, sizeof bits);
    }
  }
}

void widen_panel(const uint32_t* words, int64_t length, float* widened) {
  for (int64_t k = 0; k < length; k += 2) {
    for (int64_t j = 0; j < panel_width; j += lanes) {
      const Unsigned pair = load_words(words + k / 2 * panel_width + j);
      store(widened + k * panel_width + j, even_of(pair));
      store(widened + (k + 1) * panel_width + j, odd_of(pair));
    }
  }
}

// The words are asked for while others are multiplied.
void multiply_widened_panel(const Strips<Float32Product>& strips, const Pass<Float32Product>& pass, const void* words) {
  const Fetch fetch{words, (pass.k_end - pass.k_begin) * panel_width * 2};
  const Meanwhile meanwhile{&fetch, 1, nullptr, nullptr};
  Progress progress(meanwhile, (pass.k_end - pass.k_begin) * strips.count);
  multiply_chunks<Float32Product>(strips, pass, &progress);
}

void multiply_widened_panels(const Matmul& m, int64_t row, int64_t rows, Progress* progress) {
  alignas(line_bytes) float a[widened_floats];
  alignas(line_bytes) float widened[block_length * panel_width];
  const Strips<Float32Product> strips = RowStrips<Float32Product>(rows).alone;
  for_each_piece(m, 1, block_length, [&](const Piece& piece, const Piece& after) {
    const int64_t length = even_length(piece);
    if (piece.panel == m.panel_begin) widen_rows(m, row, rows, piece, a);
    const auto words = words_of(*m.w, piece, pairs_at), later = words_after(m, piece, after, pairs_at);
    widen_panel(words.first, length, widened);
    // The block's own k, rounded up: the sum's borders are where they were.
    const Pass<Float32Product> pass{a,
                                    length,
                                    piece.k,
                                    piece.k + length,
                                    {widened, 0},
                                    {widened, 0},
                                    output_of(m, row, piece),
                                    m.ldc,
                                    panel_width,
                                    m.accumulate || piece.k > m.k_begin};
    multiply_widened_panel(strips, pass, later.first);
    progress->go_on(length / 2 * strips.count);
    progress->tell();
  });
}

void multiply_widening(const Matmul& m, int64_t row, int64_t rows, Progress* progress) {
  alignas(line_bytes) float a[widened_floats];
  const RowStrips<WidenedProduct> strips(rows);
  const int64_t fits = widened_floats / (rows * block_length) * block_length;
  const int64_t length = fits < strips.plan.k ? fits : strips.plan.k;
  for_each_piece(m, strips.plan.beside, length, [&](const Piece& piece, const Piece& after) {
    if (piece.panel == m.panel_begin) widen_rows(m, row, rows, piece, a);
    multiply_chunks<WidenedProduct>(strips.of(piece.beside),
                                    pass_of<WidenedProduct>(m, a, even_length(piece), row, piece, after, pairs_at),
                                    progress);
  });
}

}  // namespace

void matmul_bf16(const Matmul& m) {
  if (nothing_to_add(m)) return;
  const Split parts(m.rows, widened_rows);
  Progress progress(m.meanwhile, steps_of(m, parts, 2));
  for (int64_t i = 0; i < parts.parts; ++i) {
    const int64_t row = parts.begin(i), rows = parts.begin(i + 1) - row;
    (rows < rows_worth_it ? multiply_widening : multiply_widened_panels)(m, row, rows, &progress);
  }
}
