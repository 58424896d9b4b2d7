// Products of so few rows that memory is the limit. Cores fetch ahead by themselves, but only along streams they have
// recognized, so panels are read side by side: four, or two where registers are so few that four would take turns too
// short.

namespace {

// Where a tile holds as many panels, all of k at once, and as little as possible between two blocks: where weights need
// no more than one instruction, a core's own prefetching is as quick then as anything that is asked for. Else the
// instructions that wait for memory are soon too many for a core to look past them.
template <class Product, int rows>
void stream(const Matmul& m, Beside<typename Product::At> w, float* c, int64_t c_stride) {
  constexpr int vectors = vectors_at_once(rows);
  const auto* a = static_cast<const typename Product::Element*>(m.a);
  for (int64_t k = m.k_begin; k < m.k_end;) {
    const int64_t end = end_of_block(k, m.k_end);
    tile<Product, rows, most_streams, vectors>(a, m.lda, end - k, w.first, w.stride, Sums{nullptr, 0, 0},
                                               Sums{c, m.ldc, c_stride}, m.accumulate || k > m.k_begin, NothingAhead{});
    a += end - k;
    w.first += (end - k) / Product::step * panel_width;
    k = end;
  }
}

template <class Product>
using Stream = void (*)(const Matmul&, Beside<typename Product::At>, float*, int64_t);

// NULL where a tile of so many rows does not hold all streams, or the product is not made so.
template <class Product, int rows = most_rows_of_tile>
Stream<Product> stream_for(int64_t wanted) {
  if constexpr (!Product::few_rows_ask && panels_of_tile(rows, most_streams) == most_streams) {
    if (wanted == rows) return stream<Product, rows>;
  }
  if constexpr (rows > 1) return stream_for<Product, rows - 1>(wanted);
  return nullptr;
}

inline int streams_of(int64_t rows) {
  return panels_of_tile(static_cast<int>(rows), most_streams) > 1 ? most_streams : 2;
}

// Panels that run side by side are as far apart as there are to each stream, so that it goes on where its last panel
// ended; then what is left over.
template <class Product>
void multiply_streaming(const Matmul& m, PanelAt<typename Product::Word> panel_at, Progress* progress) {
  using Word = typename Product::Word;
  int beside = streams_of(m.rows);
  const ChunkPlan plan{most_rows_of_tile, beside, 64 / beside, beside, false, 0};
  const int64_t panels = m.panel_end - m.panel_begin;
  const int64_t steps = (m.k_end - m.k_begin + Product::step - 1) / Product::step;
  const auto at = [&](int64_t panel) { return panel_at(*m.w, m.panel_begin + panel, m.k_begin); };
  for (int64_t done = 0; done < panels;) {
    while (beside > panels - done) beside /= 2;
    const int64_t apart = (panels - done) / beside, end = done + beside * apart;
    const int64_t stride = beside > 1 ? at(done + apart) - at(done) : 0;
    const auto whole = beside == most_streams ? stream_for<Product>(m.rows) : nullptr;
    const Strips<Product> strips(m.rows, plan, beside);
    for (int64_t panel = done; done < end; ++panel, done += beside) {
      const Word* w = at(panel);
      float* c = m.c + panel * panel_width;
      if (whole != nullptr) {
        whole(m, {w, stride}, c, apart * panel_width);
        progress->go_on(beside * steps);
        progress->tell();
        continue;
      }
      const auto* after = static_cast<const Word*>(m.after);
      const Word* next = done + beside < end ? at(panel + 1) : end < panels ? at(end) : after != nullptr ? after : w;
      multiply_chunks<Product>(strips,
                               {static_cast<const typename Product::Element*>(m.a),
                                m.lda,
                                m.k_begin,
                                m.k_end,
                                {w, stride},
                                {next, stride},
                                c,
                                m.ldc,
                                apart * panel_width,
                                m.accumulate},
                               progress);
    }
  }
}

}  // namespace
