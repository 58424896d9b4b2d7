// The tile of tile.inl by compact weights: each group is expanded in registers and multiplied by there. Every strip of
// rows expands anew what lies in the first-level cache, beside the multiplications; where there are many strips, the
// first keeps the words for the others.

namespace {

// Panels side by side: their headers, and where the groups are that come next.
template <int panels>
struct CompactPanels {
  const CompactHeader* block[panels];
  const std::byte* from[panels];
  int64_t group;
  uint64_t excepted = 0;  // groups of any of the panels, from `group` on
  inline CompactPanels(const CompactPanel* of, int64_t k) {
#pragma GCC unroll 4
    for (int i = 0; i < panels; ++i) {
      const CompactAt at = of[i].at(k);
      block[i] = at.block;
      from[i] = at.bytes();
      group = at.group;
      excepted |= at.block->groups >> at.group;
    }
  }
};

struct KeepNothing {
  inline void keep(int, Unsigned) {}
  inline void advance() {}
};

// The words of one panel, for the strips that come after.
struct KeepWords {
  uint32_t* to;
  inline void keep(int vector, Unsigned words) { __builtin_memcpy(to + vector * lanes, &words, sizeof words); }
  inline void advance() { to += 2 * panel_width; }
};

// What a strip asks for with every group: `lines` of each panel. One panel asks for what is in one piece of memory.
template <int lines, class Others>
struct AskAhead {
  const char* at;
  int64_t stride, per_group;  // bytes from panel to panel, and from group to group
  int64_t left;               // groups until `then` has its turn
  Beside<const char*> then;
  Others besides;
  template <int panels>
  inline void prefetch() {
#pragma GCC unroll 4
    for (int i = 0; i < panels; ++i) {
#pragma GCC unroll 3
      for (int line = 0; line < lines; ++line) __builtin_prefetch(at + i * stride + line * line_bytes, 0, 3);
    }
    at += per_group;
    if (panels > 1 && --left == 0) {
#pragma GCC unroll 4
      for (int i = 0; i < panels; ++i) __builtin_prefetch(then.first + i * then.stride, 0, 3);
      at = then.first + line_bytes;
      stride = then.stride;
    }
    besides.template prefetch<1>();
  }
};

// So many rows of one panel leave a register for its table.
constexpr int roomy_rows = 10;

// `groups` of one block, summed from zero. The sums go to `end`, or are added to what is there.
template <class Product, int rows, int panels, class Ahead, class Keep>
[[gnu::always_inline]] inline void tile_compact(const typename Product::Element* a, int64_t lda, int64_t groups,
                                                CompactPanels<panels> w, Sums end, bool accumulate, Ahead ahead,
                                                Keep keep) {
  constexpr int columns = panels * vectors_per_panel;
  Floats sum[rows][columns] = {};
  RowsAt<typename Product::Element, rows> at(a, lda);
  constexpr bool keeps_table = panels == 1 && rows <= roomy_rows;
  const Bytes only_table = repeat(w.block[0]->upper);
  for (int64_t g = 0; g < groups; ++g) {
    const bool exceptions = (w.excepted >> g & 1) != 0;
    ahead.template prefetch<panels>();
#pragma GCC unroll 4
    for (int i = 0; i < panels; ++i) {
      const Bytes table = keeps_table ? only_table : repeat(w.block[i]->upper);
#pragma GCC unroll 4
      for (int part = 0; part < vectors_of_half_row; ++part) {
        Unsigned words[vectors_of_part];
        expand_part(w.from[i], table, part, words);
        if (__builtin_expect(exceptions, 0) && (w.block[i]->groups >> (w.group + g) & 1) != 0) {
          put_exceptions(*w.block[i], w.group + g, part, words);
        }
#pragma GCC unroll 4
        for (int v = 0; v < vectors_of_part; ++v) keep.keep(vector_of_group(part, v), words[v]);
        typename Product::Weight weights[vectors_of_part];
#pragma GCC unroll 4
        for (int v = 0; v < vectors_of_part; ++v) weights[v] = Product::of_words(words[v]);
#pragma GCC unroll 16
        for (int r = 0; r < rows; ++r) {
#pragma GCC unroll 2
          for (int pair = 0; pair < 2; ++pair) {
            const typename Product::Activation activation = Product::activation(at.row(r) + pair * 2);
#pragma GCC unroll 2
            for (int half = 0; half < 2; ++half) {
              Floats& to = sum[r][i * vectors_per_panel + part + half * vectors_of_half_row];
              to = Product::add(to, activation, weights[pair * 2 + half]);
            }
          }
        }
      }
      w.from[i] += compact_group_bytes;
    }
    keep.advance();
    at.advance(compact_group_k);
  }
#pragma GCC unroll 16
  for (int r = 0; r < rows; ++r) {
#pragma GCC unroll 16
    for (int j = 0; j < columns; ++j) {
      float* to = end.at + j / vectors_per_panel * end.panel_stride + j % vectors_per_panel * lanes;
      store(to, accumulate ? load(to) + sum[r][j] : sum[r][j]);
    }
    end.at += end.row_stride;
    asm("" : "+r"(end.at));
  }
}

}  // namespace
