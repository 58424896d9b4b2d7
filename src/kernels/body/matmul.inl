// c = a * w^T over the packed panels.
//
// Every element is one chain of additions per block of 256, in ascending k. How many rows and panels a tile holds only
// decides how many such chains run side by side, so it never shows in the bits.

namespace {

constexpr int64_t block_length = 256;
constexpr int vectors_per_panel = panel_width / lanes;

// The registers that hold sums; the others hold weights and an activation.
constexpr int sum_registers = registers == 32 ? 24 : 12;
constexpr int most_rows = registers == 32 ? 8 : 6;

// Columns in vectors: a whole panel where the sums fit, else the largest power-of-two part of it.
constexpr int vectors_at_once(int rows) {
  int vectors = vectors_per_panel;
  while (rows * vectors > sum_registers) vectors /= 2;
  return vectors;
}

// With few rows a single panel gives too few independent chains, and memory too few streams.
constexpr int panels_at_once(int rows) {
  int panels = 2;
  while (panels > 1 && rows * panels * vectors_per_panel > sum_registers) panels /= 2;
  return panels;
}

// How a product takes its operands: `Element` is what `a` holds, `step` how many of them one word of a weight meets.
struct Float32Product {
  using Element = float;
  using Word = float;
  using Activation = Floats;
  using Weight = Floats;
  static constexpr int64_t step = 1;
  static inline Activation activation(const float* a) { return broadcast(*a); }
  static inline Weight weight(const float* w) { return load(w); }
  static inline Floats add(Floats sum, Activation a, Weight w) { return multiply_add(a, w, sum); }
};

// What a strip does about the weights that come next. While a few strips share a block, memory delivers as fast as it
// can, and lines on their way to the first-level cache are too few for that: those only come as far as the second. So
// do float32 weights, two blocks of which would fill the first.
enum class Prefetch { kNone, kFar, kNear };

// The weights that come next, fetched a little with every step, so that memory works while the tiles multiply.
struct Ahead {
  const char* at;
  int64_t per_step;  // bytes
  // And what the caller wants fetched besides. A core that has as many misses under way as it can follow drops a
  // prefetch, so they are spread evenly; a step shorter than a line asks for it again.
  const char* besides;
  int64_t besides_per_step;
  template <Prefetch where>
  inline void prefetch() {
    __builtin_prefetch(at, 0, where == Prefetch::kNear ? 3 : 2);
    if (per_step > 64) __builtin_prefetch(at + 64, 0, where == Prefetch::kNear ? 3 : 2);
    at += per_step;
    if (besides_per_step != 0) {
      __builtin_prefetch(besides, 0, 2);
      besides += besides_per_step;
    }
  }
  // Behind what so many steps have asked for.
  inline void go_on(int64_t steps) {
    at += per_step * steps;
    besides_per_step = 0;
  }
};

// Deals out a product's fetches to its strips: part of one piece to each, so that after every strip as large a share
// has been asked for as of the strips is done.
class Fetches {
  // So few are asked for at once.
  static constexpr int64_t few_lines = 8;

 public:
  inline Fetches(const Matmul& m, int64_t strips)
      : piece_(m.meanwhile.fetches), end_(piece_ + m.meanwhile.fetch_count), strips_(strips) {
    for (const Fetch* piece = piece_; piece != end_; ++piece) lines_ += lines_of(*piece);
  }
  inline void deal(Ahead* ahead, int64_t steps) {
    if (piece_ == end_) return;
    ++strip_;
    const int64_t left = lines_of(*piece_) - dealt_of_piece_;
    const int64_t due = (lines_ * strip_ + strips_ - 1) / strips_ - dealt_;
    const int64_t lines = left < due ? left : due;
    const auto* from = reinterpret_cast<const char*>(piece_->at) + dealt_of_piece_ * 64;
    if (lines <= few_lines) {
      for (int64_t line = 0; line < lines; ++line) __builtin_prefetch(from + line * 64, 0, 2);
    } else {
      ahead->besides = from;
      ahead->besides_per_step = (lines * 64 + steps - 1) / steps;
    }
    dealt_ += lines;
    dealt_of_piece_ += lines;
    if (lines < left) return;
    ++piece_;
    dealt_of_piece_ = 0;
  }

 private:
  static inline int64_t lines_of(const Fetch& piece) { return (piece.bytes + 63) / 64; }
  const Fetch* piece_;
  const Fetch* end_;
  int64_t strips_, strip_ = 0;
  int64_t lines_ = 0, dealt_ = 0, dealt_of_piece_ = 0;
};

// Where a tile reads its rows. Addresses of four rows are made of one pointer and multiples of the stride: with a
// pointer for each row there are too few registers.
template <class Element>
struct RowsAt {
  const Element* first;  // row 0
  const Element* fifth;
  int64_t stride, three_strides;
  inline RowsAt(const Element* a, int64_t lda) : first(a), fifth(a + 4 * lda), stride(lda), three_strides(3 * lda) {}
  [[nodiscard]] inline const Element* row(int r) const {
    const Element* group = r < 4 ? first : fifth;
    return r % 4 == 3 ? group + three_strides : group + r % 4 * stride;
  }
  inline void advance(int64_t step) {
    first += step;
    fifth += step;
    // Or the compiler makes the pointers it finds out about.
    asm("" : "+r"(first), "+r"(fifth));
  }
};

// From panel to panel: panel_stride in the weights, c_stride in c.
template <class Product, Prefetch where, int rows, int panels, int vectors>
inline void tile(const typename Product::Element* a, int64_t lda, int64_t length, const typename Product::Word* w,
                 int64_t panel_stride, float* c, int64_t ldc, int64_t c_stride, bool accumulate, Ahead ahead) {
  static_assert(rows <= 8);
  constexpr int columns = panels * vectors;
  Floats sum[rows][columns] = {};
  RowsAt<typename Product::Element> at(a, lda);
  for (int64_t k = 0; k < length; k += Product::step) {
    if constexpr (where != Prefetch::kNone) ahead.template prefetch<where>();
    typename Product::Weight weights[columns];
#pragma GCC unroll 16
    for (int j = 0; j < columns; ++j)
      weights[j] = Product::weight(w + j / vectors * panel_stride + j % vectors * lanes);
#pragma GCC unroll 16
    for (int r = 0; r < rows; ++r) {
      const typename Product::Activation activation = Product::activation(at.row(r));
#pragma GCC unroll 16
      for (int j = 0; j < columns; ++j) sum[r][j] = Product::add(sum[r][j], activation, weights[j]);
    }
    at.advance(Product::step);
    w += panel_width;
  }
#pragma GCC unroll 16
  for (int r = 0; r < rows; ++r) {
#pragma GCC unroll 16
    for (int j = 0; j < columns; ++j) {
      float* to = c + j / vectors * c_stride + j % vectors * lanes;
      store(to, accumulate ? load(to) + sum[r][j] : sum[r][j]);
    }
    c += ldc;
    asm("" : "+r"(c));  // as in RowsAt
  }
}

template <class Product>
using Strip = void (*)(const typename Product::Element*, int64_t, int64_t, const typename Product::Word*, int64_t,
                       float*, int64_t, bool, Ahead);

// `rows` rows over whole panels.
template <class Product, Prefetch where, int rows, int panels>
void strip(const typename Product::Element* a, int64_t lda, int64_t length, const typename Product::Word* w,
           int64_t panel_stride, float* c, int64_t ldc, bool accumulate, Ahead ahead) {
  constexpr int vectors = vectors_at_once(rows);
  for (int first = 0; first < vectors_per_panel; first += vectors) {
    tile<Product, where, rows, panels, vectors>(a, lda, length, w + first * lanes, panel_stride, c + first * lanes, ldc,
                                                panel_width, accumulate, ahead);
  }
}

template <class Product, int rows = most_rows>
Strip<Product> strip_for(int64_t wanted, bool several_panels, Prefetch where) {
  if (wanted == rows) {
    constexpr Prefetch nearest = Product::step == 2 ? Prefetch::kNear : Prefetch::kFar;
    if (several_panels) return strip<Product, Prefetch::kNone, rows, panels_at_once(rows)>;
    if (where == Prefetch::kNone) return strip<Product, Prefetch::kNone, rows, 1>;
    return where == Prefetch::kNear ? strip<Product, nearest, rows, 1> : strip<Product, Prefetch::kFar, rows, 1>;
  }
  if constexpr (rows > 1) return strip_for<Product, rows - 1>(wanted, several_panels, where);
  return nullptr;
}

constexpr int panels_for(int64_t rows) { return rows > most_rows ? 1 : panels_at_once(static_cast<int>(rows)); }

// `total` in the fewest parts of at most `most`, of nearly equal length.
struct Split {
  int64_t total, parts;
  inline Split(int64_t total_, int64_t most) : total(total_), parts((total_ + most - 1) / most) {}
  [[nodiscard]] inline int64_t begin(int64_t part) const { return total * part / parts; }
};

// The weights behind a block: where, and how much of them belongs to one step over this one.
struct Upcoming {
  const void* words;
  int64_t bytes_per_step;
};

// `rows` rows in the fewest strips, of nearly equal length, and the code for each: found once for all panels.
template <class Product>
struct Strips {
  int64_t count, length, longer;  // the first `longer` strips have a row more
  Strip<Product> alone[2], beside[2];
  inline Strips(int64_t rows, int64_t panels)
      : count((rows + most_rows - 1) / most_rows), length(rows / count), longer(rows % count) {
    const Prefetch where = count == 1 ? Prefetch::kNone : count == 2 ? Prefetch::kFar : Prefetch::kNear;
    for (int i = 0; i < 2; ++i) {
      const int64_t of = i == 0 || longer == 0 ? length : length + 1;
      alone[i] = strip_for<Product>(of, false, where);
      beside[i] = panels > 1 && panels_for(rows) > 1 ? strip_for<Product>(of, true, where) : nullptr;
    }
  }
  // Calls work(strip, first row).
  template <typename Work>
  inline void for_each(bool several_panels, Work work) const {
    const Strip<Product>* strips = several_panels ? beside : alone;
    int64_t row = 0;
    for (int64_t i = 0; i < count; ++i) {
      work(strips[i < longer], row);
      row += i < longer ? length + 1 : length;
    }
  }
};

// One block of k: `rows` rows against `panels` panels.
template <class Product>
void multiply_block(const typename Product::Element* a, int64_t lda, int64_t rows, int64_t length,
                    const typename Product::Word* w, int64_t panel_stride, int64_t panels, float* c, int64_t ldc,
                    bool accumulate, Upcoming next, Fetches* fetches = nullptr) {
  const Strips<Product> strips(rows, panels);
  const int64_t together = panels_for(rows);
  const int64_t steps = (length + Product::step - 1) / Product::step;
  for (int64_t panel = 0; panel < panels;) {
    const bool several = together > 1 && panels - panel >= together;
    const Upcoming after = panel + 1 < panels ? Upcoming{w + (panel + 1) * panel_stride, panel_width * 4} : next;
    Ahead ahead{static_cast<const char*>(after.words), (after.bytes_per_step + strips.count - 1) / strips.count,
                nullptr, 0};
    strips.for_each(several, [&](Strip<Product> strip, int64_t first) {
      if (fetches != nullptr) fetches->deal(&ahead, steps);
      strip(a + first * lda, lda, length, w + panel * panel_stride, panel_stride,
            c + first * ldc + panel * panel_width, ldc, accumulate, ahead);
      ahead.go_on(steps);
    });
    panel += several ? together : 1;
  }
}

inline int64_t end_of_block(int64_t k, int64_t k_end) {
  const int64_t end = (k / block_length + 1) * block_length;
  return end < k_end ? end : k_end;
}

// Blocks of k that a product has a part of.
inline int64_t blocks_of(const Matmul& m) {
  return m.k_end > m.k_begin ? (m.k_end - 1) / block_length - m.k_begin / block_length + 1 : 0;
}

void clear(const Matmul& m) {
  for (int64_t row = 0; row < m.rows; ++row) {
    for (int64_t j = 0; j < (m.panel_end - m.panel_begin) * panel_width; ++j) m.c[row * m.ldc + j] = 0;
  }
}

// A chunk of a (rows x 256) and of c (rows x panels) stay in the second-level cache while the panels pass by once.
constexpr int64_t rows_in_cache = 256;
constexpr int64_t panels_in_cache = 8;

template <class Word>
using PanelAt = const Word* (*)(const PackedMatrix&, int64_t panel, int64_t k);

inline const float* floats_at(const PackedMatrix& w, int64_t panel, int64_t k) { return w.panel_f32(panel, k); }

inline const uint32_t* pairs_at(const PackedMatrix& w, int64_t panel, int64_t k) {
  return reinterpret_cast<const uint32_t*>(w.panel_bf16(panel, k));
}

// What one pass works on: rows [row, row + rows) against panels [panel, panel + panels), k in [k, k_end).
struct Piece {
  int64_t row, rows;
  int64_t panel, panels;
  int64_t k, k_end;
};

// Calls work(piece) for every block of k of every group of panels of every chunk of rows.
template <class Work>
inline void for_each_piece(const Matmul& m, int64_t most_rows_of_piece, Work work) {
  if (m.k_begin >= m.k_end && !m.accumulate) clear(m);
  const Split chunks(m.rows, most_rows_of_piece);
  const int64_t group = m.rows > most_rows ? panels_in_cache : panels_for(m.rows);
  const int64_t pieces = chunks.parts * ((m.panel_end - m.panel_begin + group - 1) / group) * blocks_of(m);
  int64_t done = 0;
  for (int64_t chunk = 0; chunk < chunks.parts; ++chunk) {
    const int64_t row = chunks.begin(chunk), rows = chunks.begin(chunk + 1) - row;
    for (int64_t panel = m.panel_begin; panel < m.panel_end; panel += group) {
      const int64_t panels = m.panel_end - panel < group ? m.panel_end - panel : group;
      for (int64_t k = m.k_begin; k < m.k_end; k = end_of_block(k, m.k_end)) {
        work(Piece{row, rows, panel, panels, k, end_of_block(k, m.k_end)});
        if (m.meanwhile.advance != nullptr) m.meanwhile.advance(m.meanwhile.payload, ++done, pieces);
      }
    }
  }
}

// What is read after a piece; behind the last, what the caller says, or itself.
template <class Word>
inline Upcoming words_after(const Matmul& m, const Piece& piece, PanelAt<Word> panel_at) {
  constexpr int64_t row_of_words = panel_width * 4;
  if (piece.k_end < m.k_end) return {panel_at(*m.w, piece.panel, piece.k_end), row_of_words};
  const int64_t next = piece.panel + piece.panels;
  if (next < m.panel_end) return {panel_at(*m.w, next, m.k_begin), row_of_words};
  return {m.after != nullptr ? m.after : panel_at(*m.w, piece.panel, piece.k), row_of_words};
}

inline float* output_of(const Matmul& m, const Piece& piece) {
  return m.c + piece.row * m.ldc + (piece.panel - m.panel_begin) * panel_width;
}

// One strip of rows along the whole of k: where memory is the limit, as little as possible stands between two blocks.
template <class Product, int rows, int panels>
void stream(const Matmul& m, const typename Product::Word* w, int64_t panel_stride, float* c, int64_t c_stride) {
  constexpr int vectors = vectors_at_once(rows);
  const auto* a = static_cast<const typename Product::Element*>(m.a);
  for (int64_t k = m.k_begin; k < m.k_end;) {
    const int64_t end = end_of_block(k, m.k_end);
    for (int first = 0; first < vectors_per_panel; first += vectors) {
      tile<Product, Prefetch::kNone, rows, panels, vectors>(a, m.lda, end - k, w + first * lanes, panel_stride,
                                                            c + first * lanes, m.ldc, c_stride,
                                                            m.accumulate || k > m.k_begin, Ahead{});
    }
    a += end - k;
    w += (end - k) / Product::step * panel_width;
    k = end;
  }
}

template <class Product>
using Stream = void (*)(const Matmul&, const typename Product::Word*, int64_t, float*, int64_t);

template <class Product, int rows = most_rows>
Stream<Product> stream_for(int64_t wanted, bool several_panels) {
  if (wanted == rows) return several_panels ? stream<Product, rows, panels_at_once(rows)> : stream<Product, rows, 1>;
  if constexpr (rows > 1) return stream_for<Product, rows - 1>(wanted, several_panels);
  return nullptr;
}

// For few rows. All of a panel's k at once: there are no other rows to share it with. Panels that run side by side are
// half of them apart, so that each stream of weights goes on where its last panel ended.
template <class Product>
void multiply_streaming(const Matmul& m, PanelAt<typename Product::Word> panel_at) {
  const int64_t panels = m.panel_end - m.panel_begin;
  const int64_t half = panels_for(m.rows) > 1 ? panels / 2 : 0;
  int64_t done = 0;
  const auto run = [&](int64_t panel, int64_t together) {
    const auto* w = panel_at(*m.w, m.panel_begin + panel, m.k_begin);
    const int64_t stride = together > 1 ? panel_at(*m.w, m.panel_begin + panel + half, m.k_begin) - w : 0;
    stream_for<Product>(m.rows, together > 1)(m, w, stride, m.c + panel * panel_width, half * panel_width);
    done += together;
    if (m.meanwhile.advance != nullptr) m.meanwhile.advance(m.meanwhile.payload, done, panels);
  };
  for (int64_t panel = 0; panel < half; ++panel) run(panel, 2);
  for (int64_t panel = 2 * half; panel < panels; ++panel) run(panel, 1);
}

// For products that take `a` and the weights as they lie.
template <class Product>
void multiply(const Matmul& m, PanelAt<typename Product::Word> panel_at) {
  if (m.rows > 0 && m.rows <= most_rows && m.k_begin < m.k_end) {
    multiply_streaming<Product>(m, panel_at);
    return;
  }
  const int64_t strips_of_rows = (m.rows + most_rows - 1) / most_rows;
  Fetches fetches(m, strips_of_rows * (m.panel_end - m.panel_begin) * blocks_of(m));
  for_each_piece(m, rows_in_cache, [&](const Piece& piece) {
    const auto* a = static_cast<const typename Product::Element*>(m.a) + piece.row * m.lda + (piece.k - m.k_begin);
    const auto* w = panel_at(*m.w, piece.panel, piece.k);
    const int64_t panel_stride = piece.panels > 1 ? panel_at(*m.w, piece.panel + 1, piece.k) - w : 0;
    multiply_block<Product>(a, m.lda, piece.rows, piece.k_end - piece.k, w, panel_stride, piece.panels,
                            output_of(m, piece), m.ldc, m.accumulate || piece.k > m.k_begin,
                            words_after(m, piece, panel_at), &fetches);
  });
}

}  // namespace
