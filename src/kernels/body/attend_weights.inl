// Attention's softmax, taken on the way: a block's scores become weights relative to the largest so far, and what was
// summed before follows where a larger one comes (Milakov and Gimelshein, arXiv 1805.02867).

namespace {

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

}  // namespace
