// The tile every product is made of: a few rows against a few vectors of columns, sums in registers.
//
// Every element is one chain of additions per block of 256, in ascending k. How many rows and panels a tile holds only
// decides how many such chains run side by side, and a chain that waits in memory goes on where it was, so neither
// shows in the bits.

namespace {

constexpr int64_t block_length = 256;
constexpr int64_t line_bytes = 64;
constexpr int vectors_per_panel = panel_width / lanes;
// What one step along k reads of a panel, whatever the weights are.
constexpr int64_t bytes_per_step = panel_width * 4;
constexpr int lines_per_step = bytes_per_step / line_bytes;

// The registers that hold sums; the others hold weights and an activation.
constexpr int sum_registers = registers == 32 ? 24 : 12;

// Columns in vectors: a whole panel where the sums fit, else the largest power-of-two part of it.
constexpr int vectors_at_once(int rows) {
  int vectors = vectors_per_panel;
  while (rows * vectors > sum_registers) vectors /= 2;
  return vectors;
}

// Rows of a tile that may hold several panels; and how many it does, where so many are side by side.
constexpr int most_rows_of_tile = 6;
constexpr int panels_of_tile(int rows, int panels) {
  while (panels > 1 && rows * panels * vectors_per_panel > sum_registers) panels /= 2;
  return panels;
}

// How a product takes its operands: `Element` is what `a` holds, `step` how many of them one word of a weight meets,
// `At` where words are, `locality` how near what is asked for shall come (3: the first-level cache).
struct Float32Product {
  using Element = float;
  using Word = float;
  using At = const float*;
  using Activation = Floats;
  using Weight = Floats;
  static constexpr int64_t step = 1;
  static constexpr int locality = 3;
  static constexpr bool few_rows_ask = false;
  static inline Activation activation(const float* a) { return broadcast(*a); }
  static inline Weight weight(const float* w) { return load(w); }
  static inline Floats add(Floats sum, Activation a, Weight w) { return multiply_add(a, w, sum); }
};

// A tile of many rows moves its addresses once for several steps: there multiplication is the limit, and a core that
// shares its units with another thread has no instructions to spare. Not so where a step widens its weights: registers
// are too few.
template <class Product>
constexpr int steps_at_once(int rows) {
  return rows > most_rows_of_tile && !Product::few_rows_ask ? 4 : 1;
}

// Where a tile reads its rows. Addresses of four rows are made of one pointer and multiples of the stride: with a
// pointer for each row there are too few registers.
template <class Element, int rows>
struct RowsAt {
  static constexpr int groups = (rows + 3) / 4;
  const Element* group[groups];
  int64_t stride, three_strides;
  inline RowsAt(const Element* a, int64_t lda) : stride(lda), three_strides(3 * lda) {
    for (int i = 0; i < groups; ++i) group[i] = a + i * 4 * lda;
  }
  [[nodiscard]] inline const Element* row(int r) const {
    return r % 4 == 3 ? group[r / 4] + three_strides : group[r / 4] + r % 4 * stride;
  }
  inline void advance(int64_t step) {
#pragma GCC unroll 4
    for (int i = 0; i < groups; ++i) {
      group[i] += step;
      // Or the compiler makes the pointers it finds out about.
      asm("" : "+r"(group[i]));
    }
  }
};

// Sums in memory: from row to row, and from panel to panel.
struct Sums {
  float* at;
  int64_t row_stride, panel_stride;
};

struct NothingAhead {
  template <int steps>
  inline void prefetch() {}
};

// One step of all rows, `beyond` elements of `a` further on.
template <class Product, int rows, int panels, int vectors>
[[gnu::always_inline]] inline void multiply_step(const RowsAt<typename Product::Element, rows>& at, int64_t beyond,
                                                 typename Product::At w, int64_t panel_stride,
                                                 Floats (&sum)[rows][panels * vectors]) {
  constexpr int columns = panels * vectors;
  typename Product::Weight weights[columns];
#pragma GCC unroll 16
  for (int j = 0; j < columns; ++j) {
    weights[j] = Product::weight(w + (j / vectors * panel_stride + j % vectors * lanes));
  }
#pragma GCC unroll 16
  for (int r = 0; r < rows; ++r) {
    const typename Product::Activation activation = Product::activation(at.row(r) + beyond);
#pragma GCC unroll 16
    for (int j = 0; j < columns; ++j) sum[r][j] = Product::add(sum[r][j], activation, weights[j]);
  }
}

// `ahead` says what to ask for with every step; panel_stride is in words, from panel to panel. The sums begin as
// `begin` has them (NULL: at zero) and go to `end`, or are added to what is there.
template <class Product, int rows, int panels, int vectors, class Ahead>
[[gnu::always_inline]] inline void tile(const typename Product::Element* a, int64_t lda, int64_t length,
                                        typename Product::At w, int64_t panel_stride, Sums begin, Sums end,
                                        bool accumulate, Ahead ahead) {
  static_assert(rows <= 12);
  constexpr int columns = panels * vectors;
  Floats sum[rows][columns] = {};
  if (begin.at != nullptr) {
#pragma GCC unroll 16
    for (int r = 0; r < rows; ++r) {
#pragma GCC unroll 16
      for (int j = 0; j < columns; ++j) {
        sum[r][j] = load(begin.at + j / vectors * begin.panel_stride + j % vectors * lanes);
      }
      begin.at += begin.row_stride;
      asm("" : "+r"(begin.at));  // as in RowsAt
    }
  }
  RowsAt<typename Product::Element, rows> at(a, lda);
  constexpr int at_once = steps_at_once<Product>(rows);
  constexpr int64_t k_at_once = at_once * Product::step;
  int64_t k = 0;
  for (; k + k_at_once - Product::step < length; k += k_at_once) {
    ahead.template prefetch<at_once>();
#pragma GCC unroll 4
    for (int step = 0; step < at_once; ++step) {
      multiply_step<Product, rows, panels, vectors>(at, step * Product::step, w, panel_stride, sum);
      w += panel_width;
    }
    at.advance(k_at_once);
  }
  if constexpr (at_once > 1) {
    for (; k < length; k += Product::step) {
      ahead.template prefetch<1>();
      multiply_step<Product, rows, panels, vectors>(at, 0, w, panel_stride, sum);
      w += panel_width;
      at.advance(Product::step);
    }
  }
#pragma GCC unroll 16
  for (int r = 0; r < rows; ++r) {
#pragma GCC unroll 16
    for (int j = 0; j < columns; ++j) {
      float* to = end.at + j / vectors * end.panel_stride + j % vectors * lanes;
      store(to, accumulate ? load(to) + sum[r][j] : sum[r][j]);
    }
    end.at += end.row_stride;
    asm("" : "+r"(end.at));
  }
}

// `total` in the fewest parts of at most `most`, of nearly equal length.
struct Split {
  int64_t total, parts;
  inline Split(int64_t total_, int64_t most) : total(total_), parts((total_ + most - 1) / most) {}
  [[nodiscard]] inline int64_t begin(int64_t part) const { return total * part / parts; }
};

inline int64_t end_of_block(int64_t k, int64_t k_end) {
  const int64_t end = (k / block_length + 1) * block_length;
  return end < k_end ? end : k_end;
}

// Panels that are read side by side: `stride` words from one to the next.
template <class At>
struct Beside {
  At first;
  int64_t stride;
};

template <class Word>
using PanelAt = const Word* (*)(const PackedMatrix&, int64_t panel, int64_t k);

inline const float* floats_at(const PackedMatrix& w, int64_t panel, int64_t k) { return w.panel_f32(panel, k); }

inline const uint32_t* pairs_at(const PackedMatrix& w, int64_t panel, int64_t k) {
  return reinterpret_cast<const uint32_t*>(w.panel_bf16(panel, k));
}

// How far a product has come, and what it does for its caller meanwhile.
class Progress {
 public:
  inline Progress(const Meanwhile& meanwhile, int64_t steps)
      : meanwhile_(meanwhile), piece_(meanwhile.fetches), end_(piece_ + meanwhile.fetch_count), steps_(steps) {
    for (const Fetch* piece = piece_; piece != end_; ++piece) lines_ += lines_of(*piece);
  }
  struct Share {
    const char* at;
    int64_t lines;
  };
  // Takes so many steps more, and deals out fetches: part of one piece, so that of all lines as large a share has been
  // asked for as of the steps is taken. Where memory is the limit as it is, they are left out.
  inline Share go_on(int64_t steps) {
    step_ += steps;
    if (piece_ == end_) return {nullptr, 0};
    const int64_t left = lines_of(*piece_) - dealt_of_piece_;
    const int64_t due = (lines_ * step_ + steps_ - 1) / steps_ - dealt_;
    const Share share{reinterpret_cast<const char*>(piece_->at) + dealt_of_piece_ * line_bytes,
                      left < due ? left : due};
    dealt_ += share.lines;
    dealt_of_piece_ += share.lines;
    if (share.lines == left) {
      ++piece_;
      dealt_of_piece_ = 0;
    }
    return share;
  }
  inline void tell() const {
    if (meanwhile_.advance != nullptr) meanwhile_.advance(meanwhile_.payload, step_, steps_);
  }

 private:
  static inline int64_t lines_of(const Fetch& piece) { return (piece.bytes + line_bytes - 1) / line_bytes; }
  const Meanwhile& meanwhile_;
  const Fetch* piece_;
  const Fetch* end_;
  int64_t steps_, step_ = 0;
  int64_t lines_ = 0, dealt_ = 0, dealt_of_piece_ = 0;
};

}  // namespace
