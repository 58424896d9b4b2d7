// Products whose rows share chunks of the weights.
//
// A line that was asked for occupies one of a core's few places for misses of the first-level cache until it has come
// from memory, and while those are all taken, even a line that lies in the second-level cache must wait. So no weights
// are left to be read from there: panels side by side are taken in chunks so short that a chunk and the next one stay
// in the first-level cache, all rows meet a chunk before the next one's turn, and the first strips of rows ask for the
// next one early enough for it to have come. Sums wait in memory of their own from chunk to chunk. Only where rows are
// so many that multiplication is the limit by far, a chunk is a whole block of one panel, for which all strips ask.

namespace {

constexpr int most_beside = 2;
constexpr int most_streams = 4;  // of few rows
// A tile of one panel: the more rows, the less is loaded for a product.
constexpr int most_rows_of_strip = registers == 32 ? 12 : 6;

// How rows that share chunks are multiplied.
struct ChunkPlan {
  int64_t rows_of_strip;  // at most
  int beside;             // panels
  int64_t steps;          // of a chunk, which ends with its block at the latest
  int streams;            // of which a strip asks for a line with every step
  bool all_ask;           // every strip, each for its share; else the first ones, a line with every step
  int64_t k;              // after so much of it the next panels have their turn; whole blocks
};

inline int64_t strips_of(int64_t rows, const ChunkPlan& plan) {
  return (rows + plan.rows_of_strip - 1) / plan.rows_of_strip;
}

// Few rows take less time for a chunk than memory takes to answer, so they ask for more lines with a step. More have
// time, and longer chunks spare them loads and stores of sums, as soon as they make strips enough to ask for all of the
// next one: by shorter strips, where registers are many. Many have so much of a that it comes from the second-level
// cache itself: a block of it must do for several panels.
constexpr int64_t asking_strips = most_beside * lines_per_step;
constexpr int64_t rows_of_short_strip = registers == 32 ? most_rows_of_tile - 1 : most_rows_of_tile;
constexpr int64_t few_rows_of_chunk = (asking_strips - 1) * rows_of_short_strip;
constexpr int64_t some_rows_of_chunk = 48, many_rows_of_chunk = 160;
inline ChunkPlan chunk_plan(int64_t rows) {
  constexpr int64_t all_of_k = int64_t{1} << 40;
  if (rows <= few_rows_of_chunk) return {most_rows_of_tile, most_beside, 32, most_beside, false, all_of_k};
  if (rows <= some_rows_of_chunk) {
    const bool enough = rows > (asking_strips - 1) * most_rows_of_tile;
    return {enough ? most_rows_of_tile : rows_of_short_strip, most_beside, 64, 1, false, all_of_k};
  }
  return {most_rows_of_strip, 1, block_length, 1, true, block_length};
}

// A core that has as many misses under way as it can follow drops a prefetch, so where there are more than a few lines,
// they are spread over the steps; a step shorter than a line asks for it again.
struct Besides {
  const char* at;
  int64_t per_step;
  template <int steps>
  inline void prefetch() {
    if (per_step == 0) return;
#pragma GCC unroll 4
    for (int step = 0; step < steps; ++step) {
      __builtin_prefetch(at, 0, 2);
      at += per_step;
    }
  }
};
// Where a product has nothing to fetch: neither instructions nor registers for it.
struct NoBesides {
  template <int steps>
  inline void prefetch() {}
};

inline Besides fetch_besides(Progress::Share share, int64_t steps) {
  constexpr int64_t few_lines = 8;
  const int64_t at_once = share.lines <= few_lines ? share.lines : share.lines > steps ? share.lines - steps : 0;
  for (int64_t i = 0; i < at_once; ++i) __builtin_prefetch(share.at + i * line_bytes, 0, 2);
  if (at_once == share.lines) return {nullptr, 0};
  return {share.at + at_once * line_bytes, ((share.lines - at_once) * line_bytes + steps - 1) / steps};
}

template <int streams, int locality>
struct NextChunk {
  const char* at;
  int64_t stride, per_step;  // bytes from stream to stream, and from step to step
  Besides besides;
  template <int steps>
  inline void prefetch() {
#pragma GCC unroll 4
    for (int step = 0; step < steps; ++step) {
#pragma GCC unroll 4
      for (int i = 0; i < streams; ++i) __builtin_prefetch(at + i * stride, 0, locality);
      at += per_step;
    }
    besides.prefetch<steps>();
  }
};

// A strip of rows and one chunk: what the code for it takes.
template <class Product>
struct StripOfChunk {
  const typename Product::Element* a;
  int64_t lda, length;
  Beside<typename Product::At> w;
  Sums begin, end;
  bool accumulate;
  const char* ahead;  // lines to ask for
  int64_t ahead_stride, ahead_per_step;
  Besides besides;
};

template <class Product>
using Strip = void (*)(const StripOfChunk<Product>&);

template <class Product, int rows, int panels, int streams>
void strip(const StripOfChunk<Product>& s) {
  constexpr int vectors = vectors_at_once(rows);
  tile<Product, rows, panels, vectors>(
      s.a, s.lda, s.length, s.w.first, s.w.stride, s.begin, s.end, s.accumulate,
      NextChunk<streams, Product::locality>{s.ahead, s.ahead_stride, s.ahead_per_step, s.besides});
  for (int first = vectors; first < vectors_per_panel; first += vectors) {
    const int column = first * lanes;
    Sums begin = s.begin, end = s.end;
    if (begin.at != nullptr) begin.at += column;
    end.at += column;
    tile<Product, rows, panels, vectors>(s.a, s.lda, s.length, s.w.first + column, s.w.stride, begin, end, s.accumulate,
                                         NothingAhead{});
  }
}

template <class Product, int panels, int rows>
Strip<Product> strip_for(int64_t wanted, int streams) {
  if (wanted == rows) {
    if constexpr (panels_of_tile(rows, panels) == panels) {
      if (streams == 0) return strip<Product, rows, panels, 0>;
      if (streams == 1) return strip<Product, rows, panels, 1>;
      if constexpr (rows <= most_rows_of_tile) {
        return streams == 2 ? strip<Product, rows, panels, 2> : strip<Product, rows, panels, 4>;
      } else {
        return strip<Product, rows, panels, 2>;
      }
    }
  }
  if constexpr (rows > 1) return strip_for<Product, panels, rows - 1>(wanted, streams);
  return nullptr;
}

template <class Product>
Strip<Product> strip_for(int64_t rows, int panels, int streams) {
  return panels == 2 ? strip_for<Product, 2, most_rows_of_tile>(rows, streams)
                     : strip_for<Product, 1, most_rows_of_strip>(rows, streams);
}

// Rows in the fewest strips, of nearly equal length, and the code for each: found once for all chunks.
template <class Product>
struct Strips {
  int64_t count, length, longer;  // the first `longer` strips have a row more
  int64_t steps;                  // of a chunk
  int beside, panels;             // side by side in memory, and in a tile
  int streams;                    // of which a strip asks for a line with every step
  int64_t asking, bytes_asked;    // strips that ask for the next chunk, and how much of a stream with a step
  Strip<Product> quiet[2], asks[2];
  inline Strips(int64_t rows, const ChunkPlan& plan, int beside_)
      : count(strips_of(rows, plan)),
        length(rows / count),
        longer(rows % count),
        steps(plan.steps),
        beside(beside_),
        panels(panels_of_tile(static_cast<int>(longer > 0 ? length + 1 : length), beside < 2 ? 1 : 2)),
        streams(plan.streams < beside ? plan.streams : beside),
        asking(plan.all_ask ? count * beside / panels : beside * lines_per_step / streams),
        bytes_asked((beside * bytes_per_step + streams * asking - 1) / (streams * asking)) {
    // Strips too few to ask for all of a chunk leave it to the core.
    if (count * beside / panels < asking) {
      asking = 0;
      steps = block_length / Product::step;
    }
    for (int i = 0; i < 2; ++i) {
      const int64_t of = i == 0 || longer == 0 ? length : length + 1;
      quiet[i] = strip_for<Product>(of, panels, 0);
      asks[i] = strip_for<Product>(of, panels, streams);
    }
  }
};

// The strips of rows that share chunks, for panels in pairs and for a last one.
template <class Product>
struct RowStrips {
  ChunkPlan plan;
  Strips<Product> beside, alone;
  inline explicit RowStrips(int64_t rows)
      : plan(chunk_plan(rows)), beside(rows, plan, plan.beside), alone(rows, plan, 1) {}
  [[nodiscard]] inline const Strips<Product>& of(int panels) const { return panels > 1 ? beside : alone; }
};

// Rows against panels side by side.
template <class Product>
struct Pass {
  const typename Product::Element* a;  // at column k_begin
  int64_t lda;
  int64_t k_begin, k_end;
  Beside<typename Product::At> w, next;  // next: what is read afterwards
  float* c;
  int64_t ldc, c_stride;
  bool accumulate;
};

template <class Product>
void multiply_chunks(const Strips<Product>& strips, Pass<Product> pass, Progress* progress) {
  alignas(line_bytes) float waiting[many_rows_of_chunk * panel_width];
  static_assert(most_rows_of_tile * most_streams <= many_rows_of_chunk &&
                some_rows_of_chunk * most_beside <= many_rows_of_chunk);
  const Sums partial{waiting, strips.beside * panel_width, panel_width}, result{pass.c, pass.ldc, pass.c_stride};
  const auto part = [](Sums sums, int64_t row, int panel) {
    sums.at += row * sums.row_stride + panel * sums.panel_stride;
    return sums;
  };
  for (int64_t k = pass.k_begin; k < pass.k_end;) {
    const int64_t block_end = end_of_block(k, pass.k_end), chunk_end = k + strips.steps * Product::step;
    const int64_t end = chunk_end < block_end ? chunk_end : block_end;
    const bool begins = k == pass.k_begin || k % block_length == 0, ends = end == block_end;
    const int64_t steps = (end - k + Product::step - 1) / Product::step;
    const auto ahead =
        end < pass.k_end ? Beside<typename Product::At>{pass.w.first + steps * panel_width, pass.w.stride} : pass.next;
    int call = 0;
    for (int panel = 0; panel < strips.beside; panel += strips.panels) {
      int64_t row = 0;
      for (int64_t i = 0; i < strips.count; ++i, ++call) {
        const bool longer = i < strips.longer;
        const int asked = call * strips.streams;
        StripOfChunk<Product> s{pass.a + row * pass.lda,
                                pass.lda,
                                end - k,
                                {pass.w.first + panel * pass.w.stride, pass.w.stride},
                                begins ? Sums{nullptr, 0, 0} : part(partial, row, panel),
                                part(ends ? result : partial, row, panel),
                                ends && (pass.accumulate || k / block_length > pass.k_begin / block_length),
                                reinterpret_cast<const char*>(ahead.first + asked % strips.beside * ahead.stride) +
                                    asked / strips.beside * steps * strips.bytes_asked,
                                ahead.stride * int64_t{4},
                                strips.bytes_asked,
                                fetch_besides(progress->go_on(strips.panels * steps), steps)};
        (call < strips.asking ? strips.asks : strips.quiet)[longer](s);
        row += longer ? strips.length + 1 : strips.length;
      }
    }
    if (ends) progress->tell();
    pass.a += end - k;
    pass.w.first += steps * panel_width;
    k = end;
  }
}

}  // namespace
