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

// Weights are widened for the tile that multiplies by them.
struct WidenedProduct {
  struct Pair {
    Floats even, odd;
  };
  using Element = float;
  using Word = uint32_t;
  using At = const uint32_t*;
  using Activation = Pair;
  using Weight = Pair;
  static constexpr int64_t step = 2;
  static constexpr int locality = 3;
  static constexpr bool few_rows_ask = true;
  static inline Activation activation(const float* a) { return {broadcast(a[0]), broadcast(a[1])}; }
  static inline Weight of_words(Unsigned words) { return {even_of(words), odd_of(words)}; }
  static inline Weight weight(const uint32_t* w) { return of_words(load_words(w)); }
  static inline Floats add(Floats sum, Activation a, Weight w) {
    return multiply_add(a.odd, w.odd, multiply_add(a.even, w.even, sum));
  }
};

// Keeps what it has widened, as a float32 panel.
struct KeepingProduct : WidenedProduct {
  struct At {
    const uint32_t* words;
    float* kept;
    // Columns to the right, and down the panel.
    friend inline At operator+(At at, int64_t columns) { return {at.words + columns, at.kept + columns}; }
    inline At& operator+=(int64_t count) { return *this = {words + count, kept + step * count}; }
  };
  // What is kept fills most of the first-level cache, so the words of the next block wait in the second.
  static constexpr int locality = 2;
  static inline Weight weight(At w) {
    const Weight widened = WidenedProduct::weight(w.words);
    store(w.kept, widened.even);
    store(w.kept + panel_width, widened.odd);
    return widened;
  }
};

struct KeptProduct : Float32Product {
  static constexpr int locality = KeepingProduct::locality;
};

// Whole groups of compact weights: an end that is none meets zeros behind k.
inline int64_t whole_length(const Piece& piece) { return compact_groups(piece.k_end - piece.k) * compact_group_k; }

// `length` of k of a compact panel, all in one block: a float32 panel.
void expand_widened(CompactAt at, int64_t length, float* widened) {
  constexpr int64_t group_floats = compact_group_k * panel_width;
  expand(
      at, length,
      [&](int64_t g, int part, const Unsigned* words) {
#pragma GCC unroll 4
        for (int i = 0; i < vectors_of_part; ++i) {
          const int vector = vector_of_group(part, i);
          float* to = widened + g * group_floats + vector / vectors_per_panel * 2 * panel_width +
                      vector % vectors_per_panel * lanes;
          store(to, even_of(words[i]));
          store(to + panel_width, odd_of(words[i]));
        }
      },
      [&](int64_t g) {
        for_exceptions(*at.block, at.group + g, [&](int place, uint8_t upper) {
          const int64_t k = place / 64 * 2 + place % 2, column = place % 64 / 2;
          reinterpret_cast<uint8_t*>(widened + g * group_floats + k * panel_width + column)[3] = upper;
        });
      });
}

// A piece's part of `rows` rows, side by side.
void widen_rows(const Matmul& m, int64_t row, int64_t rows, const Piece& piece, float* widened) {
  const int64_t length = whole_length(piece);
  for (int64_t r = 0; r < rows; ++r) {
    const bfloat16* from = static_cast<const bfloat16*>(m.a) + (row + r) * m.lda + (piece.k - m.k_begin);
    float* to = widened + r * length;
    int64_t k = 0;
    for (; k + lanes <= length; k += lanes) store(to + k, load(from + k));
    for (; k < length; ++k) {
      const uint32_t bits = static_cast<uint32_t>(from[k]) << 16;
      __builtin_memcpy(to + k, &bits, sizeof bits);
    }
  }
}

// Where registers are few, so few rows share a group that it is quicker to expand it once for all.
constexpr int64_t few_rows_of_compact = (registers == 32 ? 2 : 1) * most_rows_of_compact;

// Few rows stream their weights, so much of k at a time as can be kept of `a`.
void multiply_few_widened(const Matmul& m) {
  constexpr int64_t widened_floats = 16384;  // 64 KiB of stack
  alignas(line_bytes) float a[widened_floats];
  const int64_t most = widened_floats / m.rows / block_length * block_length;
  const int64_t strips = m.w->is_compact() ? strips_of_compact(m.rows) : 1;
  Progress progress(m.meanwhile, steps_of(m, WidenedProduct::step) * strips);
  for_each_piece(m, static_cast<int>(m.panel_end - m.panel_begin), most, [&](const Piece& piece, const Piece& after) {
    widen_rows(m, 0, m.rows, piece, a);
    Matmul part = m;
    part.a = a;
    part.lda = whole_length(piece);
    part.k_begin = piece.k;
    part.k_end = piece.k_end;
    part.accumulate = m.accumulate || piece.k > m.k_begin;
    if (m.w->is_compact()) {
      part.after = lines_after(m, piece, after).first;
      return multiply_compact<WidenedProduct>(part, &progress);
    }
    part.after = words_after(m, piece, after, pairs_at).first;
    multiply_streaming<WidenedProduct>(part, pairs_at, &progress);
  });
}

inline Split sharing_strips(int64_t rows) { return Split(rows, most_rows_of_strip); }

// A chunk of a panel meets all rows before the next one's turn, and the first strip of rows widens it for the others.
// A strip's rows are widened right before they meet the first panel: they are still in the first-level cache then.
class Sharing {
 public:
  inline Sharing(const Matmul& m, int64_t row, int64_t rows, Progress* progress)
      : m_(m), row_(row), strips_(sharing_strips(rows)), progress_(progress) {}

  void multiply(const Piece& piece, const Piece& after) {
    if (m_.w->is_compact()) return multiply_compact(piece, after);
    const uint32_t* words = words_of(*m_.w, piece, pairs_at).first;
    const auto* next = reinterpret_cast<const char*>(words_after(m_, piece, after, pairs_at).first);
    // Two strips are quick: a block's words and what is kept of them push each other out of the first-level cache, so
    // they take half of one. More strips have time, and a whole block spares them loads and stores of sums.
    const int64_t length = whole_length(piece), most = strips_.parts == 2 ? block_length / 2 : block_length;
    for (int64_t k = 0; k < length; k += most) {
      const Chunk chunk{k, k + most < length ? k + most : length, length};
      const int64_t words_before = k / WidenedProduct::step * panel_width;
      multiply(piece, chunk, words + words_before, next + words_before * int64_t{sizeof(uint32_t)});
    }
    progress_->tell();
  }

 private:
  struct Chunk {
    int64_t begin, end, of;  // k of a piece of so many
  };

  // Compact words are expanded and widened at once, for all strips.
  void multiply_compact(const Piece& piece, const Piece& after) {
    const int64_t length = whole_length(piece);
    expand_widened(CompactPanel(*m_.w, piece.panel).at(piece.k), length, kept_);
    const Piece& then = after.beside > 0 ? after : piece;
    const void* next = after.beside == 0 && m_.after != nullptr ? m_.after : m_.w->compact_block(then.panel, then.k);
    for (int64_t i = 0; i < strips_.parts; ++i) {
      run<KeptProduct>(i, piece, {0, length, length}, kept_, static_cast<const char*>(next));
    }
    progress_->tell();
  }

  void multiply(const Piece& piece, const Chunk& chunk, const uint32_t* words, const char* next) {
    if (strips_.parts == 1) {
      run<WidenedProduct>(0, piece, chunk, words, next);
      return;
    }
    run<KeepingProduct>(0, piece, chunk, {words, kept_}, next);
    for (int64_t i = 1; i < strips_.parts; ++i) run<KeptProduct>(i, piece, chunk, kept_, next);
  }

  // Every strip asks for its share of what is next; one that is alone, for two lines with every step.
  template <class Product>
  void run(int64_t i, const Piece& piece, const Chunk& chunk, typename Product::At w, const char* next) {
    const int64_t first = strips_.begin(i), rows = strips_.begin(i + 1) - first;
    const int64_t length = chunk.end - chunk.begin, steps = length / Product::step;
    const int streams = strips_.parts == 1 ? lines_per_step : 1;
    const int64_t asking = steps * streams * strips_.parts;
    const int64_t asked = (length / WidenedProduct::step * bytes_per_step + asking - 1) / asking;
    const int64_t of_piece = piece.k_end - piece.k, end = chunk.end < of_piece ? chunk.end : of_piece;
    const bool begins = chunk.begin == 0, ends = chunk.end == chunk.of;
    float* a = a_ + first * block_length;
    if (begins && piece.panel == m_.panel_begin) widen_rows(m_, row_ + first, rows, piece, a);
    const Sums result{output_of(m_, row_ + first, piece), m_.ldc, panel_width};
    const Sums waiting = begins && ends ? result : Sums{waiting_ + first * panel_width, panel_width, panel_width};
    StripOfChunk<Product> s{a + chunk.begin,
                            chunk.of,
                            length,
                            {w, 0},
                            begins ? Sums{nullptr, 0, 0} : waiting,
                            ends ? result : waiting,
                            ends && (m_.accumulate || piece.k > m_.k_begin),
                            next + i * steps * asked,
                            steps * asked,
                            asked,
                            fetch_besides(progress_->go_on((end - chunk.begin + 1) / WidenedProduct::step), steps)};
    strip_for<Product>(rows, 1, streams)(s);
  }

  const Matmul& m_;
  int64_t row_;
  Split strips_;
  Progress* progress_;
  alignas(line_bytes) float a_[many_rows_of_chunk * block_length];
  alignas(line_bytes) float kept_[block_length * panel_width];
  alignas(line_bytes) float waiting_[panel_width * most_rows_of_strip * 2];  // of two strips
};

void multiply_sharing(const Matmul& m) {
  const Split parts(m.rows, many_rows_of_chunk);
  Progress progress(m.meanwhile,
                    steps_of(m, WidenedProduct::step, parts, [](int64_t rows) { return sharing_strips(rows).parts; }));
  for (int64_t i = 0; i < parts.parts; ++i) {
    Sharing sharing(m, parts.begin(i), parts.begin(i + 1) - parts.begin(i), &progress);
    for_each_piece(m, 1, block_length, [&](const Piece& piece, const Piece& after) { sharing.multiply(piece, after); });
  }
}

}  // namespace

void matmul_bf16(const Matmul& m) {
  if (nothing_to_add(m)) return;
  (m.rows <= (m.w->is_compact() ? few_rows_of_compact : most_rows_of_tile) ? multiply_few_widened
                                                                           : multiply_sharing)(m);
}
