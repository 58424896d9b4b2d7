// Attention of rows over the blocks of a cache (scores and values streamed block by block with the softmax taken on the
// way: Milakov and Gimelshein, arXiv 1805.02867; Dao et al., arXiv 2205.14135).
//
// Scores of a block are the product of queries and transposed keys, its output the product of weights and values. Both
// are made of chains of multiply-adds that run along the dimension, or along the positions, in ascending order: one
// chain for every number. How many rows stand in a tile, and where a chain pauses in memory, never shows in the bits.

namespace {

// Row i of what a chain multiplies with: float32 as it lies, bfloat16 two rows to a word.
struct FloatRows {
  using Word = float;
  static constexpr int64_t rows_per_word = 1;
  template <bool odd>
  static inline Floats of(const float* at) {
    return load(at);
  }
};

struct PairedRows {
  using Word = uint32_t;
  static constexpr int64_t rows_per_word = 2;
  template <bool odd>
  static inline Floats of(const uint32_t* at) {
    return odd ? odd_of(load_words(at)) : even_of(load_words(at));
  }
};

constexpr int most_tile_rows = 6;

constexpr int vectors_beside(int rows) {
  int vectors = 8;
  while (rows * vectors > sum_registers) vectors /= 2;
  return vectors;
}

// What one tile multiplies: c[r][..] (+)= sum over i in [begin, end) of a[r][i] * b[i][..].
template <class Rows>
struct Chains {
  const float* a;
  int64_t lda;
  const typename Rows::Word* b;
  int64_t ldb;
  int64_t begin, end;
  float* c;
  int64_t ldc;
  bool go_on;     // from what c holds
  int64_t ahead;  // bytes from a word of b to one that is needed next, fetched meanwhile; 0: none

  template <bool odd, int rows, int vectors>
  static __attribute__((always_inline)) inline void step(Floats (&sum)[rows][vectors], const float* const (&row)[rows],
                                                         int64_t i, const typename Rows::Word* at) {
    Floats weights[vectors];
#pragma GCC unroll 8
    for (int v = 0; v < vectors; ++v) weights[v] = Rows::template of<odd>(at + v * lanes);
#pragma GCC unroll 8
    for (int r = 0; r < rows; ++r) {
      const Floats factor = broadcast(row[r][i]);
#pragma GCC unroll 8
      for (int v = 0; v < vectors; ++v) sum[r][v] = multiply_add(factor, weights[v], sum[r][v]);
    }
  }

  template <int rows, int vectors, bool fetch>
  __attribute__((noinline)) void columns(int64_t column) const {
    constexpr int64_t line = 64;
    const auto fetch_beside = [distance = ahead](const typename Rows::Word* word) {
      if constexpr (fetch) {
#pragma GCC unroll 8
        for (int64_t i = 0; i < vectors * lanes * 4; i += line) {
          __builtin_prefetch(reinterpret_cast<const char*>(word) + distance + i, 0, 2);
        }
      }
    };
    Floats sum[rows][vectors] = {};
    const float* row[rows];
#pragma GCC unroll 8
    for (int r = 0; r < rows; ++r) {
      row[r] = a + r * lda;
      if (!go_on) continue;
#pragma GCC unroll 8
      for (int v = 0; v < vectors; ++v) sum[r][v] = load(c + r * ldc + column + v * lanes);
    }
    const int64_t stop = end, words = ldb;
    int64_t i = begin;
    const typename Rows::Word* at = b + i / Rows::rows_per_word * words + column;
    if (i % 2 == 1 && i < stop) {
      step<true>(sum, row, i++, at);
      at += words;
    }
    constexpr int64_t two = 2 / Rows::rows_per_word;
    for (; i + 1 < stop; i += 2, at += two * words) {
      fetch_beside(at);
      if constexpr (two > 1) fetch_beside(at + words);
      step<false>(sum, row, i, at);
      step<true>(sum, row, i + 1, at + (two - 1) * words);
    }
    if (i < stop) step<false>(sum, row, i, at);
#pragma GCC unroll 8
    for (int r = 0; r < rows; ++r) {
#pragma GCC unroll 8
      for (int v = 0; v < vectors; ++v) store(c + r * ldc + column + v * lanes, sum[r][v]);
    }
  }

  template <int rows, int vectors>
  inline void all_columns(int64_t column, int64_t count) const {
    for (; column + vectors * lanes <= count; column += vectors * lanes) {
      if (ahead != 0) {
        columns<rows, vectors, true>(column);
      } else {
        columns<rows, vectors, false>(column);
      }
    }
    if constexpr (vectors > 1) {
      if (column < count) all_columns<rows, vectors / 2>(column, count);
    }
  }

  // count: a multiple of sixteen.
  template <int rows = most_tile_rows>
  inline void run(int64_t wanted, int64_t count) const {
    if (wanted == rows) return all_columns<rows, vectors_beside(rows)>(0, count);
    if constexpr (rows > 1) return run<rows - 1>(wanted, count);
  }
};

template <int width = lanes / 2>
inline Floats fold_to_largest(Floats v) {
  Ints other = {};
#pragma GCC unroll 16
  for (int i = 0; i < lanes; ++i) other[i] = (i + width) % lanes;
  v = larger(v, __builtin_shuffle(v, other));
  if constexpr (width > 1) return fold_to_largest<width / 2>(v);
  return v;
}

// Positions of a block that a query sees.
struct Seen {
  int64_t begin, end;
  [[nodiscard]] inline bool none() const { return begin >= end; }
};

// One query's share of a segment: see attend_state().
struct State {
  float* at;
  [[nodiscard]] inline float* sums() const { return at; }
  [[nodiscard]] inline float& largest() const { return at[16]; }
  [[nodiscard]] inline float* values() const { return at + 32; }
};

constexpr float lowest_score = -3.40282347e+38F;

inline void scale_by(float factor, float* values, int64_t count) {
  for (int64_t i = 0; i < count; i += lanes) store(values + i, load(values + i) * factor);
}

// A block's products of one query, by vectors of positions. all: the query sees them all. Those outside of what it sees
// may be anything.
template <bool all>
struct Positions {
  float* at;
  int32_t begin, end;
  inline Positions(float* scores, Seen seen)
      : at(scores), begin(static_cast<int32_t>(seen.begin)), end(static_cast<int32_t>(seen.end)) {}

  [[nodiscard]] inline int vectors() const {
    return all ? cache_block / lanes : (end + sixteen - 1) / sixteen * vectors_of_sixteen;
  }
  [[nodiscard]] inline Floats where_seen(int vector, Floats value, Floats otherwise) const {
    if constexpr (all) return value;
    Ints position = {};
#pragma GCC unroll 16
    for (int i = 0; i < lanes; ++i) position[i] = i;
    position += vector * lanes;
    return ((position >= begin) & (position < end)) ? value : otherwise;
  }
};

// Products become scores. The largest is returned.
template <bool all>
inline float make_scores(Positions<all> positions, float scale) {
  Floats top = broadcast(lowest_score);
#pragma GCC unroll 16
  for (int v = 0, count = positions.vectors(); v < count; ++v) {
    float* at = positions.at + v * lanes;
    const Floats score = positions.where_seen(v, load(at) * scale, broadcast(lowest_score));
    store(at, score);
    top = larger(score, top);
  }
  return fold_to_largest(top)[0];
}

// Scores become weights relative to the largest so far, and are added to the sums.
template <bool all>
inline void make_weights(Positions<all> positions, State state) {
  // Lanes of a sum stand in the same places of every step.
  constexpr int together = all && vectors_of_sixteen == 1 ? 4 : vectors_of_sixteen;
  const Floats largest = broadcast(state.largest());
  Sixteen sum;
  sum.read(state.sums());
#pragma GCC unroll 4
  for (int v = 0, count = positions.vectors(); v < count; v += together) {
    float* at = positions.at + v * lanes;
    const auto weights = exponential(each<together>([&](int i) { return load(at + i * lanes) - largest; }));
#pragma GCC unroll 4
    for (int i = 0; i < together; ++i) {
      const Floats weight = positions.where_seen(v + i, weights.part[i], Floats{});
      store(at + i * lanes, weight);
      sum.part[i % vectors_of_sixteen] += weight;
    }
  }
  sum.write(state.sums());
}

// What queries have summed so far becomes relative to the largest score of a block, where that is larger than those
// before.
inline void raise_largest(const float* largest, float* states, int64_t size, int64_t count, int64_t width) {
  constexpr int room = (most_tile_rows + lanes - 1) / lanes * lanes;
  float factor[room] = {};
  bool any = false;
  for (int64_t r = 0; r < count; ++r) {
    const float before = State{states + r * size}.largest();
    if (!(largest[r] > before)) continue;
    factor[r] = before - largest[r];
    any = true;
  }
  if (!any) return;
  for (int i = 0; i < room; i += lanes) store(factor + i, exponential(load(factor + i)));
  for (int64_t r = 0; r < count; ++r) {
    const State state{states + r * size};
    if (!(largest[r] > state.largest())) continue;
    state.largest() = largest[r];
    scale_by(factor[r], state.sums(), sixteen);
    scale_by(factor[r], state.values(), width);
  }
}

// Turns a block's products with some queries into weights relative to each one's largest score so far, and what was
// summed before with them. Every step is made for all queries before the next: none of them waits for another, but
// each waits for its own last step.
inline void weigh(float* scores, const Seen* seen, float scale, float* states, int64_t size, int64_t count,
                  int64_t width) {
  const auto with_positions = [&](int64_t r, auto step) {
    float* at = scores + r * cache_block;
    if (seen[r].none()) return;
    if (seen[r].begin == 0 && seen[r].end == cache_block) {
      step(Positions<true>(at, seen[r]));
    } else {
      step(Positions<false>(at, seen[r]));
    }
  };
  float largest[most_tile_rows];
  for (int64_t r = 0; r < count; ++r) {
    largest[r] = lowest_score;
    with_positions(r, [&](auto positions) { largest[r] = make_scores(positions, scale); });
  }
  raise_largest(largest, states, size, count, width);
  for (int64_t r = 0; r < count; ++r) {
    with_positions(r, [&](auto positions) { make_weights(positions, State{states + r * size}); });
  }
}

// What query `index` of a call sees: positions of its sequence.
inline Seen seen_by(const Attend& a, int64_t index) {
  const int64_t end = a.first + index / a.group + 1;
  return {a.window > 0 && end > a.window ? end - a.window : 0, end};
}

inline Seen within(Seen seen, int64_t begin, int64_t end) {
  const int64_t from = seen.begin > begin ? seen.begin : begin;
  const int64_t to = seen.end < end ? seen.end : end;
  return {from - begin, to - begin};
}

inline void clear_state(State state, int64_t width) {
  for (int64_t i = 0; i < sixteen; i += lanes) store(state.sums() + i, Floats{});
  state.largest() = lowest_score;
  for (int64_t i = 0; i < width; i += lanes) store(state.values() + i, Floats{});
}

// `count` queries from `query` on against one block. fetch: the values while scores are made, and then the next block.
template <class Rows>
inline void attend_block(const Attend& a, int64_t block, int64_t query, int64_t count, float* states, int64_t width,
                         bool fetch) {
  using Word = typename Rows::Word;
  const auto* keys = reinterpret_cast<const Word*>(a.blocks[block] + a.key_offset);
  const auto* values = reinterpret_cast<const Word*>(a.blocks[block] + a.value_offset);
  const int64_t size = 32 + width;
  alignas(64) float scores[most_tile_rows * cache_block];
  Seen seen[most_tile_rows];
  // What all see, and the end of what any sees. A later query begins and ends later.
  Seen common{0, cache_block};
  int64_t end = 0;
  for (int64_t r = 0; r < count; ++r) {
    seen[r] = within(seen_by(a, query + r), block * cache_block, (block + 1) * cache_block);
    if (seen[r].begin > common.begin) common.begin = seen[r].begin;
    if (seen[r].end < common.end) common.end = seen[r].end;
    if (seen[r].end > end && !seen[r].none()) end = seen[r].end;
  }
  if (end == 0) return;
  Chains<Rows> products{};
  products.a = a.query + query * a.head_dim;
  products.lda = a.head_dim;
  products.b = keys;
  products.ldb = cache_block;
  products.end = a.head_dim;
  products.c = scores;
  products.ldc = cache_block;
  products.ahead = fetch ? a.value_offset - a.key_offset : 0;
  products.run(count, (end + sixteen - 1) / sixteen * sixteen);
  weigh(scores, seen, a.scale, states, size, count, width);
  Chains<Rows> sums{};
  sums.a = scores;
  sums.lda = cache_block;
  sums.b = values;
  sums.ldb = width;
  sums.c = State{states}.values();
  sums.ldc = size;
  sums.go_on = true;
  const auto alone = [&](int64_t r, int64_t from, int64_t to) {
    if (from >= to) return;
    Chains<Rows> one = sums;
    one.a += r * cache_block;
    one.c += r * size;
    one.begin = from;
    one.end = to;
    one.ahead = 0;
    one.template run<1>(1, width);
  };
  if (common.none()) {
    for (int64_t r = 0; r < count; ++r) alone(r, seen[r].begin, seen[r].end);
    return;
  }
  for (int64_t r = 0; r < count; ++r) alone(r, seen[r].begin, common.begin);
  sums.begin = common.begin;
  sums.end = common.end;
  if (fetch && (block + 1) * cache_block < a.first + a.rows) {
    sums.ahead =
        reinterpret_cast<const char*>(a.blocks[block + 1] + a.key_offset) - reinterpret_cast<const char*>(values);
  }
  sums.run(count, width);
  for (int64_t r = 0; r < count; ++r) alone(r, common.end, seen[r].end);
}

inline bool sees_segment(const Attend& a, int64_t index, int64_t segment) {
  return !within(seen_by(a, index), segment * attend_segment_length, (segment + 1) * attend_segment_length).none();
}

template <class Rows>
void attend_segment_by(const Attend& a, int64_t segment, float* states) {
  const int64_t width = (a.head_dim + sixteen - 1) / sixteen * sixteen;
  const int64_t size = 32 + width;
  const int64_t queries = a.rows * a.group;
  for (int64_t i = 0; i < queries; ++i) {
    if (sees_segment(a, i, segment)) clear_state(State{states + i * size}, width);
  }
  constexpr int64_t blocks = attend_segment_length / cache_block;
  const Seen first = seen_by(a, 0);
  const int64_t end = (seen_by(a, queries - 1).end + cache_block - 1) / cache_block;
  const int64_t end_block = end < (segment + 1) * blocks ? end : (segment + 1) * blocks;
  const Split tiles(queries, most_tile_rows);
  int64_t block = first.begin / cache_block > segment * blocks ? first.begin / cache_block : segment * blocks;
  for (; block < end_block; ++block) {
    for (int64_t t = 0; t < tiles.parts; ++t) {
      const int64_t query = tiles.begin(t);
      attend_block<Rows>(a, block, query, tiles.begin(t + 1) - query, states + query * size, width, t == 0);
    }
  }
}

inline float shrink(float from, float to) { return exponential(broadcast(from - to))[0]; }

// Adds a segment to those before it.
inline void join(State total, State part, int64_t width) {
  const float largest = part.largest() > total.largest() ? part.largest() : total.largest();
  const float of_total = shrink(total.largest(), largest), of_part = shrink(part.largest(), largest);
  total.largest() = largest;
  for (int64_t i = 0; i < sixteen; i += lanes) {
    store(total.sums() + i, load(total.sums() + i) * of_total + load(part.sums() + i) * of_part);
  }
  for (int64_t i = 0; i < width; i += lanes) {
    store(total.values() + i, load(total.values() + i) * of_total + load(part.values() + i) * of_part);
  }
}

inline void put_output(const Attend& a, int64_t index, State total, int64_t width) {
  Sixteen sum;
  for (int i = 0; i < vectors_of_sixteen; ++i) sum.part[i] = load(total.sums() + i * lanes);
  const float all = sum.total();
  float* output = a.output + index / a.group * a.ldo + index % a.group * a.head_dim;
  for (int64_t i = 0; i < width; i += lanes) {
    const Floats value = load(total.values() + i) / all;
    if (i + lanes <= a.head_dim) {
      store(output + i, value);
    } else {
      store_part(output + i, a.head_dim > i ? a.head_dim - i : 0, value);
    }
  }
}

}  // namespace

void attend_segment(const Attend& a, int64_t segment, float* states) {
  if (a.dtype == MOX_BF16) {
    attend_segment_by<PairedRows>(a, segment, states);
  } else {
    attend_segment_by<FloatRows>(a, segment, states);
  }
}

void join_segments(const Attend& a, float* states) {
  const int64_t width = (a.head_dim + sixteen - 1) / sixteen * sixteen;
  const int64_t size = 32 + width;
  const int64_t queries = a.rows * a.group;
  const Segments segments = segments_of(a);
  for (int64_t i = 0; i < queries; ++i) {
    const Seen seen = seen_by(a, i);
    const int64_t first = seen.begin / attend_segment_length, last = (seen.end - 1) / attend_segment_length;
    const State total{states + ((first - segments.begin) * queries + i) * size};
    for (int64_t s = first + 1; s <= last; ++s) {
      join(total, State{states + ((s - segments.begin) * queries + i) * size}, width);
    }
    put_output(a, i, total, width);
  }
}

void attend(const Attend& a, float* scratch) {
  const int64_t width = (a.head_dim + sixteen - 1) / sixteen * sixteen;
  const int64_t size = 32 + width;
  const int64_t queries = a.rows * a.group;
  const Segments segments = segments_of(a);
  float* part = scratch + queries * size;
  // The first segment of a query is its total; the others are added to it.
  for (int64_t segment = segments.begin; segment < segments.end; ++segment) {
    const bool only = segment == segments.begin;
    attend_segment(a, segment, only ? scratch : part);
    if (only) continue;
    for (int64_t i = 0; i < queries; ++i) {
      if (!sees_segment(a, i, segment)) continue;
      const State total{scratch + i * size}, state{part + i * size};
      if (seen_by(a, i).begin / attend_segment_length == segment) {
        __builtin_memcpy(total.at, state.at, static_cast<size_t>(size) * sizeof(float));
      } else {
        join(total, state, width);
      }
    }
  }
  for (int64_t i = 0; i < queries; ++i) put_output(a, i, State{scratch + i * size}, width);
}
