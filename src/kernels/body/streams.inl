// Products of so few rows that memory is the limit: a tile for all of them, along the whole of k, and as little as
// possible between two blocks. Cores fetch ahead by themselves, but only along streams they have recognized, so several
// panels are read side by side.

namespace {

constexpr int most_rows_of_tile = 6;

// Panels side by side. With as many as this a core's own prefetching is as quick as anything that is asked for.
constexpr int streams_of(int rows) { return panels_of_tile(rows, rows <= 2 ? 4 : 2); }

struct NothingAhead {
  inline void prefetch() {}
};

template <class Product, int rows, int panels>
void stream(const Matmul& m, Beside<typename Product::Word> w, float* c, int64_t c_stride) {
  constexpr int vectors = vectors_at_once(rows);
  const auto* a = static_cast<const typename Product::Element*>(m.a);
  for (int64_t k = m.k_begin; k < m.k_end;) {
    const int64_t end = end_of_block(k, m.k_end);
    for (int first = 0; first < vectors_per_panel; first += vectors) {
      tile<Product, rows, panels, vectors>(a, m.lda, end - k, w.first + first * lanes, w.stride, Sums{nullptr, 0, 0},
                                           Sums{c + first * lanes, m.ldc, c_stride}, m.accumulate || k > m.k_begin,
                                           NothingAhead{});
    }
    a += end - k;
    w.first += (end - k) / Product::step * panel_width;
    k = end;
  }
}

template <class Product>
using Stream = void (*)(const Matmul&, Beside<typename Product::Word>, float*, int64_t);

template <class Product, int rows = most_rows_of_tile>
Stream<Product> stream_for(int64_t wanted, int panels) {
  if (wanted == rows) {
    if constexpr (streams_of(rows) == 4) {
      if (panels == 4) return stream<Product, rows, 4>;
    }
    if constexpr (streams_of(rows) >= 2) {
      if (panels == 2) return stream<Product, rows, 2>;
    }
    return stream<Product, rows, 1>;
  }
  if constexpr (rows > 1) return stream_for<Product, rows - 1>(wanted, panels);
  return nullptr;
}

// Panels that run side by side are as far apart as there are to each stream, so that it goes on where its last panel
// ended; then what is left over.
template <class Product>
void multiply_streaming(const Matmul& m, PanelAt<typename Product::Word> panel_at) {
  const int64_t panels = m.panel_end - m.panel_begin;
  Progress progress(m, panels);
  int beside = streams_of(static_cast<int>(m.rows));
  for (int64_t done = 0; done < panels;) {
    while (beside > panels - done) beside /= 2;
    const int64_t apart = (panels - done) / beside;
    const auto stream = stream_for<Product>(m.rows, beside);
    const int64_t first = done;
    for (int64_t panel = first; panel < first + apart; ++panel, done += beside) {
      const auto* w = panel_at(*m.w, m.panel_begin + panel, m.k_begin);
      const int64_t stride = beside > 1 ? panel_at(*m.w, m.panel_begin + panel + apart, m.k_begin) - w : 0;
      stream(m, {w, stride}, m.c + panel * panel_width, apart * panel_width);
      progress.go_on(beside);
      progress.tell();
    }
  }
}

}  // namespace
