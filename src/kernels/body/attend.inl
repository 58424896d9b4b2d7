// One query against the keys and values of its positions.

namespace {

template <int width>
inline Floats fold(Floats v) {
  Ints other = {};
#pragma GCC unroll 16
  for (int i = 0; i < lanes; ++i) other[i] = (i + width) % lanes;
  v += __builtin_shuffle(v, other);
  if constexpr (width > 1) return fold<width / 2>(v);
  return v;
}

inline float total_of(Floats v) { return fold<lanes / 2>(v)[0]; }

inline float dot(const float* a, const float* b, int64_t count) {
  Floats sum = {};
  int64_t i = 0;
  for (; i + lanes <= count; i += lanes) sum = multiply_add(load(a + i), load(b + i), sum);
  if (i < count) sum = multiply_add(load_part(a + i, count - i, 0), load_part(b + i, count - i, 0), sum);
  return total_of(sum);
}

// Walks positions and keeps the pointer of the current row.
struct Positions {
  const float* const* blocks;
  int64_t block_rows, stride;
  [[nodiscard]] inline const float* row(int64_t position) const {
    return blocks[position / block_rows] + position % block_rows * stride;
  }
  // The first position behind the block that `position` lies in.
  [[nodiscard]] inline int64_t end_of_block(int64_t position, int64_t end) const {
    const int64_t next = (position / block_rows + 1) * block_rows;
    return next < end ? next : end;
  }
};

// output[0 .. vectors * lanes) = sum of weight * value over the positions, in ascending order.
template <int vectors>
inline void weighted_sum(const Attend& a, const Positions& values, int64_t column, float* output) {
  Floats sum[vectors] = {};
  for (int64_t p = a.begin; p < a.end;) {
    const int64_t end = values.end_of_block(p, a.end);
    const float* value = values.row(p) + column;
    for (; p < end; ++p, value += values.stride) {
      const Floats weight = broadcast(a.scores[p - a.begin]);
#pragma GCC unroll 8
      for (int v = 0; v < vectors; ++v) sum[v] = multiply_add(weight, load(value + v * lanes), sum[v]);
    }
  }
#pragma GCC unroll 8
  for (int v = 0; v < vectors; ++v) store(output + v * lanes, sum[v]);
}

}  // namespace

void attend(const Attend& a) {
  const Positions keys{a.key_blocks, a.block_rows, a.stride};
  const Positions values{a.value_blocks, a.block_rows, a.stride};
  for (int64_t p = a.begin; p < a.end;) {
    const int64_t end = keys.end_of_block(p, a.end);
    const float* key = keys.row(p);
    for (; p < end; ++p, key += a.stride) a.scores[p - a.begin] = a.scale * dot(a.query, key, a.head_dim);
  }
  softmax(a.scores, a.end - a.begin, a.scores);
  int64_t column = 0;
  for (; column + 8 * lanes <= a.head_dim; column += 8 * lanes) weighted_sum<8>(a, values, column, a.output + column);
  for (; column + lanes <= a.head_dim; column += lanes) weighted_sum<1>(a, values, column, a.output + column);
  for (; column < a.head_dim; ++column) {
    float sum = 0;
    for (int64_t p = a.begin; p < a.end; ++p) sum += a.scores[p - a.begin] * values.row(p)[column];
    a.output[column] = sum;
  }
}
