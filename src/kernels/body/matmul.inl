// c = a * w^T over the packed panels.

namespace {

void clear(const Matmul& m) {
  for (int64_t row = 0; row < m.rows; ++row) {
    for (int64_t j = 0; j < (m.panel_end - m.panel_begin) * panel_width; ++j) m.c[row * m.ldc + j] = 0;
  }
}

// Where there is nothing to multiply, what is left of a product is done, and there is nothing more to do.
inline bool nothing_to_add(const Matmul& m) {
  if (m.k_begin < m.k_end) return m.rows == 0 || m.panel_begin == m.panel_end;
  if (!m.accumulate) clear(m);
  return true;
}

// Steps of a product along k, counted for every panel.
inline int64_t steps_of(const Matmul& m, int64_t step) {
  return (m.k_end - m.k_begin + step - 1) / step * (m.panel_end - m.panel_begin);
}

// The same for every strip of rows too, where these are cut into such parts, and a part into strips_of(its rows).
template <class StripsOf>
inline int64_t steps_of(const Matmul& m, int64_t step, const Split& parts, StripsOf strips_of) {
  int64_t strips = 0;
  for (int64_t i = 0; i < parts.parts; ++i) strips += strips_of(parts.begin(i + 1) - parts.begin(i));
  return steps_of(m, step) * strips;
}

// Panels [panel, panel + beside), k in [k, k_end).
struct Piece {
  int64_t panel;
  int beside;
  int64_t k, k_end;
};

// Calls work(piece, the one after it) for all panels and all of k: pieces of `length` of k, a multiple of the block's,
// and in each all panels, `beside` at once. Behind the last piece comes none: its `beside` is 0.
template <class Work>
inline void for_each_piece(const Matmul& m, int beside, int64_t length, Work work) {
  const auto next = [&](const Piece& piece) {
    Piece after = piece;
    after.panel += piece.beside;
    if (after.panel == m.panel_end) {
      after.panel = m.panel_begin;
      after.k = piece.k_end;
    }
    after.beside = after.k == m.k_end ? 0 : m.panel_end - after.panel >= beside ? beside : 1;
    const int64_t end = (after.k / length + 1) * length;
    after.k_end = end < m.k_end ? end : m.k_end;
    return after;
  };
  Piece piece = next(Piece{m.panel_begin, 0, m.k_begin, m.k_begin});
  while (piece.beside > 0) {
    const Piece after = next(piece);
    work(piece, after);
    piece = after;
  }
}

template <class Word>
inline Beside<const Word*> words_of(const PackedMatrix& w, const Piece& piece, PanelAt<Word> panel_at) {
  const Word* first = panel_at(w, piece.panel, piece.k);
  return {first, piece.beside > 1 ? panel_at(w, piece.panel + 1, piece.k) - first : 0};
}

// What is read after a piece; behind the last, what the caller says, or itself.
template <class Word>
inline Beside<const Word*> words_after(const Matmul& m, const Piece& piece, const Piece& after,
                                       PanelAt<Word> panel_at) {
  Beside<const Word*> words = words_of(*m.w, after.beside > 0 ? after : piece, panel_at);
  if (after.beside == 0 && m.after != nullptr) words.first = static_cast<const Word*>(m.after);
  return words;
}

inline float* output_of(const Matmul& m, int64_t row, const Piece& piece) {
  return m.c + row * m.ldc + (piece.panel - m.panel_begin) * panel_width;
}

template <class Product>
inline Pass<Product> pass_of(const Matmul& m, int64_t row, const Piece& piece, const Piece& after,
                             PanelAt<typename Product::Word> panel_at) {
  return {static_cast<const typename Product::Element*>(m.a) + row * m.lda + (piece.k - m.k_begin),
          m.lda,
          piece.k,
          piece.k_end,
          words_of(*m.w, piece, panel_at),
          words_after(m, piece, after, panel_at),
          output_of(m, row, piece),
          m.ldc,
          panel_width,
          m.accumulate || piece.k > m.k_begin};
}

// For products that take `a` and the weights as they lie.
template <class Product>
void multiply(const Matmul& m, PanelAt<typename Product::Word> panel_at) {
  if (nothing_to_add(m)) return;
  if (m.rows <= most_rows_of_tile) {
    Progress progress(m.meanwhile, steps_of(m, Product::step));
    multiply_streaming<Product>(m, panel_at, &progress);
    return;
  }
  const Split parts(m.rows, many_rows_of_chunk);
  Progress progress(m.meanwhile,
                    steps_of(m, Product::step, parts, [](int64_t rows) { return strips_of(rows, chunk_plan(rows)); }));
  for (int64_t i = 0; i < parts.parts; ++i) {
    const int64_t row = parts.begin(i), rows = parts.begin(i + 1) - row;
    const RowStrips<Product> strips(rows);
    for_each_piece(m, strips.plan.beside, strips.plan.k, [&](const Piece& piece, const Piece& after) {
      multiply_chunks<Product>(strips.of(piece.beside), pass_of<Product>(m, row, piece, after, panel_at), &progress);
    });
  }
}

}  // namespace
