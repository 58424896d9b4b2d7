// c = a * w^T over compact panels. Few rows take several panels at once; more than a tile holds are cut into strips
// that all meet a block before the next one's turn. Meanwhile the next block is asked for, by every strip its share.

namespace {

constexpr int most_rows_of_compact = sum_registers / vectors_per_panel;
// Few rows take several panels side by side, so that enough of memory is asked for. Two streams take less time than
// four where they are long, and sooner so where there is more to multiply for each line; where they are soon over it is
// the other way round, and one that goes on from panel to panel takes less than two.
constexpr int64_t long_k_of_compact(int64_t rows) { return rows <= 2 ? 4096 : 1280; }
constexpr int panels_of_compact(int64_t rows, int64_t k) {
  const int64_t most = rows <= 4 ? most_rows_of_compact / rows : 1;
  if (k < long_k_of_compact(rows) && registers == 32) return most >= 4 ? 4 : 1;
  return most >= 2 ? 2 : 1;
}
constexpr int most_beside_of_compact = 4;
// How far ahead of their use they ask for what they read, all together: more would push itself out of the first-level
// cache. One panel alone asks for the whole next block meanwhile.
constexpr int64_t groups_ahead = 32;

inline int64_t strips_of_compact(int64_t rows) { return Split(rows, most_rows_of_compact).parts; }

// A block of panels, and what is read after it.
struct CompactBlock {
  const CompactPanel* panels;
  int64_t k, k_end;
  Beside<const char*> next;
};

// Rows of a product and where their sums go.
template <class Product>
struct CompactStrip {
  const typename Product::Element* a;  // at column k of the block
  int64_t lda;
  Sums end;
  bool accumulate;
  int64_t asked_from, asked_per_group;  // what it asks for
  Besides besides;
  uint32_t* kept;
};

template <class Product, int rows, int panels, int lines, class Keep, class Others>
void strip_compact(const CompactBlock& block, const CompactStrip<Product>& s) {
  const CompactPanels<panels> w(block.panels, block.k);
  const int64_t groups = compact_groups(block.k_end - block.k), here = groups * compact_group_bytes;
  Others besides{};
  if constexpr (std::is_same_v<Others, Besides>) besides = s.besides;
  AskAhead<lines, Others> ahead;
  if (panels > 1 && s.asked_from < here) {
    const int64_t left = (here - s.asked_from + s.asked_per_group - 1) / s.asked_per_group;
    ahead = {reinterpret_cast<const char*>(w.from[0]) + s.asked_from,
             panels > 1 ? w.from[1] - w.from[0] : 0,
             s.asked_per_group,
             left,
             block.next,
             besides};
  } else {
    ahead = {block.next.first + (s.asked_from - here), block.next.stride, s.asked_per_group, groups + 1, {}, besides};
  }
  Keep keep{};
  if constexpr (std::is_same_v<Keep, KeepWords>) keep.to = s.kept;
  tile_compact<Product, rows, panels>(s.a, s.lda, groups, w, s.end, s.accumulate, ahead, keep);
}

// By the words that the first strip kept.
template <class Product, int rows>
void strip_kept(const CompactBlock& block, const CompactStrip<Product>& s) {
  const int64_t groups = compact_groups(block.k_end - block.k);
  tile<Product, rows, 1, vectors_per_panel>(
      s.a, s.lda, groups * compact_group_k, s.kept, 0, Sums{nullptr, 0, 0}, s.end, s.accumulate,
      NextChunk<1, 3>{block.next.first + (s.asked_from - groups * compact_group_bytes),
                      0,
                      (s.asked_per_group + 1) / 2,
                      {s.besides.at, (s.besides.per_step + 1) / 2}});
}

template <class Product>
using CompactStripCode = void (*)(const CompactBlock&, const CompactStrip<Product>&);

template <class Product, int panels, int lines, class Keep = KeepNothing, int rows = most_rows_of_compact / panels>
CompactStripCode<Product> compact_strip_for(int64_t wanted, bool fetches) {
  if constexpr (rows > 0) {
    if (wanted == rows) {
      if constexpr (panels == 1) {
        if (!fetches) return strip_compact<Product, rows, panels, lines, Keep, NoBesides>;
      }
      return strip_compact<Product, rows, panels, lines, Keep, Besides>;
    }
  }
  if constexpr (rows > 1) return compact_strip_for<Product, panels, lines, Keep, rows - 1>(wanted, fetches);
  return nullptr;
}

template <class Product, int rows = most_rows_of_compact>
CompactStripCode<Product> kept_strip_for(int64_t wanted) {
  if (wanted == rows) return strip_kept<Product, rows>;
  if constexpr (rows > 1) return kept_strip_for<Product, rows - 1>(wanted);
  return nullptr;
}

// A shorter strip is over before it could ask for a whole block.
constexpr int64_t fewest_rows_of_asking = 7;

// All strips of rows of a call. The first one, which meets the lines that were asked for, asks for none where there are
// others that have the time: lines that are still coming and lines that are asked for take the same places.
template <class Product>
class CompactStrips {
 public:
  inline CompactStrips(int64_t rows, int64_t k, bool fetches)
      : strips_(rows, most_rows_of_compact),
        length_(rows / strips_.parts),
        longer_(rows % strips_.parts),
        beside_(panels_of_compact(rows, k)),
        silent_(strips_.parts > 2 || (strips_.parts == 2 && length_ >= fewest_rows_of_asking) ? 1 : 0) {
    // From three strips on it is quicker to read words again than to expand them again.
    const bool keeps = strips_.parts > 2;
    for (int i = 0; i < 2; ++i) {
      const int64_t of = length_ + i;
      const auto asks = compact_strip_for<Product, 1, 3>(of, fetches);
      first_[i] = keeps         ? compact_strip_for<Product, 1, 0, KeepWords>(of, fetches)
                  : silent_ > 0 ? compact_strip_for<Product, 1, 0>(of, fetches)
                                : asks;
      later_[i] = keeps ? kept_strip_for<Product>(of) : asks;
    }
    if (beside_ == 4) together_ = compact_strip_for<Product, 4, 3>(rows, fetches);
    if (beside_ == 2) together_ = compact_strip_for<Product, 2, 3>(rows, fetches);
  }
  [[nodiscard]] inline int beside() const { return beside_; }

  // a: of the first row, at column k of the block.
  inline void multiply(const CompactBlock& block, int beside, const typename Product::Element* a, int64_t lda, float* c,
                       int64_t ldc, bool accumulate, Progress* progress) const {
    const int64_t groups = compact_groups(block.k_end - block.k), steps = (block.k_end - block.k + 1) / 2;
    // Several panels ask for the header when they come to it.
    const int64_t asked = groups * compact_group_bytes + (beside > 1 ? 0 : line_bytes);
    const int64_t ahead = (beside > 1 ? groups_ahead / beside : groups) * compact_group_bytes;
    const int64_t asking = strips_.parts - silent_;
    const int64_t share = (asked + asking - 1) / asking, share_of_group = (share + groups - 1) / groups;
    alignas(line_bytes) uint32_t kept[block_length / 2 * panel_width];
    for (int64_t i = 0, row = 0; i < strips_.parts; ++i) {
      const bool longer = i < longer_;
      const CompactStrip<Product> s{a + row * lda,
                                    lda,
                                    {c + row * ldc, ldc, panel_width},
                                    accumulate,
                                    ahead + (i > silent_ ? i - silent_ : 0) * share,
                                    share_of_group,
                                    fetch_besides(progress->go_on(beside * steps), groups),
                                    kept};
      (beside > 1 ? together_ : i == 0 ? first_[longer] : later_[longer])(block, s);
      row += longer ? length_ + 1 : length_;
    }
  }

 private:
  Split strips_;
  int64_t length_, longer_;  // rows of a strip; the first `longer_` have one more
  int beside_;
  int64_t silent_;  // strips, from the first on
  CompactStripCode<Product> first_[2], later_[2], together_ = nullptr;
};

// What is read after a piece, of as many panels.
inline Beside<const char*> lines_after(const Matmul& m, const Piece& piece, const Piece& after) {
  const CompactPanel next(*m.w, after.beside > 0 ? after.panel : piece.panel);
  const int64_t stride =
      piece.beside > 1 ? CompactPanel(*m.w, piece.panel + 1).first - CompactPanel(*m.w, piece.panel).first : 0;
  if (after.beside > 0) return {next.line_at(after.k), after.beside > 1 ? stride : 0};
  return {m.after != nullptr ? static_cast<const char*>(m.after) : next.line_at(m.k_begin), stride};
}

// `a` as the product takes it.
template <class Product>
void multiply_compact(const Matmul& m, Progress* progress) {
  const Split parts(m.rows, many_rows_of_chunk);
  for (int64_t i = 0; i < parts.parts; ++i) {
    const int64_t row = parts.begin(i), rows = parts.begin(i + 1) - row;
    const CompactStrips<Product> strips(rows, m.k_end - m.k_begin, m.meanwhile.fetch_count > 0);
    // Of many rows, a block of k must do for all panels: it comes from the second-level cache.
    const int64_t length = rows <= some_rows_of_chunk ? int64_t{1} << 40 : block_length;
    for_each_piece(m, strips.beside(), length, [&](const Piece& piece, const Piece& after) {
      CompactPanel panels[most_beside_of_compact];
      for (int p = 0; p < piece.beside; ++p) panels[p] = CompactPanel(*m.w, piece.panel + p);
      const int64_t stride = piece.beside > 1 ? panels[1].first - panels[0].first : 0;
      const Beside<const char*> behind = lines_after(m, piece, after);
      for (int64_t k = piece.k; k < piece.k_end;) {
        const int64_t end = end_of_block(k, piece.k_end);
        const CompactBlock block{panels, k, end,
                                 end < piece.k_end ? Beside<const char*>{panels[0].line_at(end), stride} : behind};
        strips.multiply(block, piece.beside,
                        static_cast<const typename Product::Element*>(m.a) + row * m.lda + (k - m.k_begin), m.lda,
                        output_of(m, row, piece), m.ldc, m.accumulate || k > m.k_begin, progress);
        progress->tell();
        k = end;
      }
    });
  }
}

// For products that take `a` as it lies.
template <class Product>
void multiply_compact(const Matmul& m) {
  if (nothing_to_add(m)) return;
  const Split parts(m.rows, many_rows_of_chunk);
  Progress progress(m.meanwhile, steps_of(m, 2, parts, strips_of_compact));
  multiply_compact<Product>(m, &progress);
}

}  // namespace
