// Attention of rows over the blocks of a cache, scores and values streamed block by block (Dao et al., arXiv
// 2205.14135).

namespace {

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
  sum.read(total.sums());
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
