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

constexpr int64_t widened_rows = 64;   // 64 KiB of stack for a block of them
constexpr int64_t rows_worth_it = 64;  // from here on widening a panel once is cheaper than in every tile

void widen_rows(const Matmul& m, const Piece& piece, int64_t length, float* widened) {
  for (int64_t r = 0; r < piece.rows; ++r) {
    const bfloat16* from = static_cast<const bfloat16*>(m.a) + (piece.row + r) * m.lda + (piece.k - m.k_begin);
    for (int64_t k = 0; k < length; ++k) {
      const uint32_t bits = static_cast<uint32_t>(from[k]) << 16;
      __builtin_memcpy(widened + r * block_length + k, &bits, sizeof bits);
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

}  // namespace

void matmul_bf16(const Matmul& m) {
  for_each_piece(m, widened_rows, [&m](const Piece& piece) {
    alignas(64) float a[widened_rows * block_length];
    // An odd end meets one of the zeros behind k.
    const int64_t length = (piece.k_end - piece.k + 1) / 2 * 2;
    widen_rows(m, piece, length, a);
    const bool accumulate = m.accumulate || piece.k > m.k_begin;
    const uint32_t* w = pairs_at(*m.w, piece.panel, piece.k);
    const Upcoming after = words_after(m, piece, pairs_at);
    const int64_t panel_stride = piece.panels > 1 ? pairs_at(*m.w, piece.panel + 1, piece.k) - w : 0;
    float* c = output_of(m, piece);
    if (piece.rows < rows_worth_it) {
      multiply_block<WidenedProduct>(a, block_length, piece.rows, length, w, panel_stride, piece.panels, c, m.ldc,
                                     accumulate, after);
      return;
    }
    alignas(64) float panel[block_length * panel_width];
    for (int64_t p = 0; p < piece.panels; ++p) {
      widen_panel(w + p * panel_stride, length, panel);
      // A step over the widened panel takes half a word.
      const void* words = p + 1 < piece.panels ? w + (p + 1) * panel_stride : after.words;
      multiply_block<Float32Product>(a, block_length, piece.rows, length, panel, 0, 1, c + p * panel_width, m.ldc,
                                     accumulate, Upcoming{words, panel_width * 2});
    }
  });
}
