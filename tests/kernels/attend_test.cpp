#include "support.h"

namespace moxie::kernels::test {
namespace {

class AttendTest : public testing::TestWithParam<Candidate> {};

using Rows = std::vector<std::vector<float>>;

// Keys and values of one head, as they come back from a cache of this element type.
struct Cache {
  CacheLayout layout;
  Rows keys, values;
  std::vector<std::vector<std::byte>> memory;
  std::vector<const std::byte*> blocks;
  static constexpr int64_t other_head = 192;  // bytes of somebody else before and between

  // What is not written is NaN: nothing may come of it.
  Cache(const CacheLayout& layout_, Rows k, Rows v) : layout(layout_), keys(std::move(k)), values(std::move(v)) {
    const auto bytes = static_cast<size_t>(2 * layout.bytes() + 2 * other_head);
    const auto count = static_cast<int64_t>(keys.size());
    for (int64_t begin = 0; begin < count; begin += cache_block) {
      memory.emplace_back(bytes, std::byte{0xff});
      const int64_t rows = std::min(cache_block, count - begin);
      // In two portions, as a sequence might be fed.
      for (const auto& [from, to] : {std::pair{int64_t{0}, rows / 3}, std::pair{rows / 3, rows}}) {
        std::vector<float> some_keys, some_values;
        for (int64_t p = begin + from; p < begin + to; ++p) {
          some_keys.insert(some_keys.end(), keys[static_cast<size_t>(p)].begin(), keys[static_cast<size_t>(p)].end());
          some_values.insert(some_values.end(), values[static_cast<size_t>(p)].begin(),
                             values[static_cast<size_t>(p)].end());
        }
        layout.write_keys(memory.back().data() + key_offset(), from, to - from, some_keys.data(), layout.head_dim);
        layout.write_values(memory.back().data() + value_offset(), from, to - from, some_values.data(),
                            layout.head_dim);
      }
    }
    for (const auto& block : memory) blocks.push_back(block.data());
    if (layout.dtype == MOX_F32) return;
    for (Rows* rows : {&keys, &values}) {
      for (auto& row : *rows) {
        for (float& value : row) value = widen_bfloat16(round_to_bfloat16(value));
      }
    }
  }

  [[nodiscard]] static int64_t key_offset() { return other_head; }
  [[nodiscard]] int64_t value_offset() const { return 2 * other_head + layout.bytes(); }
};

// Queries of rows [first, first + rows) of a sequence.
struct Question {
  int64_t first, rows, group, window;
  std::vector<float> query;  // [rows][group][head_dim]
  [[nodiscard]] Question part(int64_t from, int64_t count) const {
    const auto width = static_cast<int64_t>(query.size()) / rows;
    return {first + from, count, group, window, {query.begin() + from * width, query.begin() + (from + count) * width}};
  }
};

struct Scratch {
  std::vector<float> memory;
  explicit Scratch(int64_t count) : memory(static_cast<size_t>(count) + 16, not_a_number) {}
  [[nodiscard]] float* data() {
    return reinterpret_cast<float*>((reinterpret_cast<uintptr_t>(memory.data()) + 63) / 64 * 64);
  }
};

enum class How { at_once, by_segments };

std::vector<float> attend(const Kernels& kernels, const Cache& cache, const Question& question, How how) {
  const int64_t head_dim = cache.layout.head_dim, width = question.group * head_dim, gap = 3;
  std::vector<float> output(static_cast<size_t>(question.rows * (width + gap)), -3.0F);
  Attend a;
  a.query = question.query.data();
  a.rows = question.rows;
  a.group = question.group;
  a.head_dim = head_dim;
  a.scale = static_cast<float>(1 / std::sqrt(static_cast<double>(head_dim)));
  a.first = question.first;
  a.window = question.window;
  a.dtype = cache.layout.dtype;
  a.blocks = cache.blocks.data();
  a.key_offset = Cache::key_offset();
  a.value_offset = cache.value_offset();
  a.output = output.data();
  a.ldo = width + gap;
  const int64_t states = a.rows * a.group * attend_state(head_dim);
  if (how == How::at_once) {
    Scratch scratch(2 * states);
    kernels.attend(a, scratch.data());
  } else {
    const Segments segments = segments_of(a);
    Scratch parts(states * (segments.end - segments.begin));
    for (int64_t segment = segments.end; segment-- > segments.begin;) {
      kernels.attend_segment(a, segment, parts.data() + (segment - segments.begin) * states);
    }
    kernels.join_segments(a, parts.data());
  }
  std::vector<float> result;
  for (int64_t row = 0; row < a.rows; ++row) {
    const auto begin = output.begin() + row * a.ldo;
    result.insert(result.end(), begin, begin + width);
    for (int64_t i = width; i < a.ldo; ++i) EXPECT_EQ(begin[i], -3.0F) << "written behind a row's end";
  }
  return result;
}

std::vector<double> exact(const Cache& cache, const Question& question) {
  const auto head_dim = static_cast<size_t>(cache.layout.head_dim);
  std::vector<double> result;
  for (int64_t index = 0; index < question.rows * question.group; ++index) {
    const float* query = question.query.data() + static_cast<size_t>(index) * head_dim;
    const int64_t end = question.first + index / question.group + 1;
    const int64_t begin = question.window > 0 ? std::max<int64_t>(0, end - question.window) : 0;
    std::vector<double> values(head_dim);
    double sum = 0;
    for (int64_t p = begin; p < end; ++p) {
      double dot = 0;
      for (size_t i = 0; i < head_dim; ++i) dot += double{query[i]} * cache.keys[static_cast<size_t>(p)][i];
      const double weight = std::exp(dot / std::sqrt(static_cast<double>(head_dim)));
      sum += weight;
      for (size_t i = 0; i < head_dim; ++i) values[i] += weight * cache.values[static_cast<size_t>(p)][i];
    }
    for (const double value : values) result.push_back(value / sum);
  }
  return result;
}

struct Problem {
  Cache cache;
  Question question;
};

// Windows to all sides of blocks and segments.
Problem random_problem(std::mt19937& generator, DType dtype, int64_t head_dim, int64_t most_positions) {
  const int64_t positions = random_between(generator, 1, most_positions);
  const int64_t rows = random_between(generator, 1, std::min<int64_t>(positions, 80));
  const int64_t group = std::vector<int64_t>{1, 2, 3, 4, 7, 8}[static_cast<size_t>(random_between(generator, 0, 5))];
  const int64_t window =
      std::vector<int64_t>{0, 0, 1, 5, 63, 64, 65, 300, 511, 513}[static_cast<size_t>(random_between(generator, 0, 9))];
  Cache cache({head_dim, dtype}, random_rows(generator, positions, head_dim),
              random_rows(generator, positions, head_dim));
  return {std::move(cache),
          {positions - rows, rows, group, window, random_floats(generator, rows * group * head_dim, 4)}};
}

std::string text_of(const Problem& problem) {
  const Question& q = problem.question;
  return "head_dim " + std::to_string(problem.cache.layout.head_dim) + ", rows " + std::to_string(q.first) + " + " +
         std::to_string(q.rows) + ", group " + std::to_string(q.group) + ", window " + std::to_string(q.window);
}

TEST_P(AttendTest, AgreesWithDoublePrecision) {
  std::mt19937 generator(31);
  for (const int64_t head_dim : {1, 2, 5, 15, 16, 17, 32, 33, 64, 80, 96, 127, 128, 129, 130, 256}) {
    for (int repeat = 0; repeat < 3; ++repeat) {
      const Problem problem = random_problem(generator, GetParam().dtype, head_dim, repeat == 2 ? 1300 : 200);
      SCOPED_TRACE(text_of(problem));
      const std::vector<double> want = exact(problem.cache, problem.question);
      const std::vector<float> found = attend(*GetParam().kernels, problem.cache, problem.question, How::at_once);
      ASSERT_EQ(found.size(), want.size());
      double worst = 0;
      for (size_t i = 0; i < want.size(); ++i) {
        ASSERT_TRUE(std::isfinite(found[i])) << i;
        worst = std::max(worst, std::abs(found[i] - want[i]));
      }
      EXPECT_LE(worst, 40 * epsilon);
    }
  }
}

// Together, in portions, one by one, and by segments.
TEST_P(AttendTest, ARowsBitsDoNotDependOnTheOthers) {
  std::mt19937 generator(32);
  for (const int64_t head_dim : {1, 7, 16, 64, 128}) {
    for (int repeat = 0; repeat < 4; ++repeat) {
      const Problem problem = random_problem(generator, GetParam().dtype, head_dim, repeat < 2 ? 200 : 1300);
      const Question& question = problem.question;
      SCOPED_TRACE(text_of(problem));
      const auto run = [&](const Question& asked, How how) {
        return attend(*GetParam().kernels, problem.cache, asked, how);
      };
      const std::vector<float> together = run(question, How::at_once);
      EXPECT_EQ(run(question, How::by_segments), together);
      for (const bool one_by_one : {true, false}) {
        std::vector<float> found;
        for (int64_t row = 0; row < question.rows;) {
          const int64_t count = one_by_one ? 1 : random_between(generator, 1, question.rows - row);
          const auto how = random_between(generator, 0, 1) == 0 ? How::at_once : How::by_segments;
          const std::vector<float> some = run(question.part(row, count), how);
          found.insert(found.end(), some.begin(), some.end());
          row += count;
        }
        for (size_t i = 0; i < found.size(); ++i) ASSERT_EQ(bits_of(found[i]), bits_of(together[i])) << i;
      }
    }
  }
}

// Heads of a group are rows like others.
TEST_P(AttendTest, AHeadsBitsDoNotDependOnItsGroup) {
  std::mt19937 generator(33);
  constexpr int64_t head_dim = 48, group = 5;
  const Cache cache({head_dim, GetParam().dtype}, random_rows(generator, 150, head_dim),
                    random_rows(generator, 150, head_dim));
  const Question question{100, 9, group, 40, random_floats(generator, 9 * group * head_dim, 4)};
  const std::vector<float> together = attend(*GetParam().kernels, cache, question, How::at_once);
  for (int64_t head = 0; head < group; ++head) {
    Question alone{100, 9, 1, 40, {}};
    std::vector<float> want;
    for (int64_t row = 0; row < 9; ++row) {
      const int64_t at = (row * group + head) * head_dim;
      alone.query.insert(alone.query.end(), question.query.begin() + at, question.query.begin() + at + head_dim);
      want.insert(want.end(), together.begin() + at, together.begin() + at + head_dim);
    }
    EXPECT_EQ(attend(*GetParam().kernels, cache, alone, How::at_once), want);
  }
}

// Scores far apart: the largest comes first, last or in between, and nothing overflows.
TEST_P(AttendTest, LargeScoresNeitherOverflowNorVanish) {
  constexpr int64_t head_dim = 16, positions = 1100;
  for (const int64_t top : {0, 63, 64, 511, 512, 700, 1099}) {
    Rows keys(positions, std::vector<float>(head_dim)), values(positions, std::vector<float>(head_dim, 1));
    for (auto& key : keys) key[0] = -4000;
    keys[static_cast<size_t>(top)][0] = 4000;
    values[static_cast<size_t>(top)].assign(head_dim, 7);
    const Cache cache({head_dim, GetParam().dtype}, keys, values);
    Question question{positions - 1, 1, 1, 0, std::vector<float>(head_dim)};
    question.query[0] = 1;
    EXPECT_EQ(attend(*GetParam().kernels, cache, question, How::at_once), std::vector<float>(head_dim, 7)) << top;
    EXPECT_EQ(attend(*GetParam().kernels, cache, question, How::by_segments), std::vector<float>(head_dim, 7)) << top;
  }
}

INSTANTIATE_TEST_SUITE_P(Kernels, AttendTest, testing::ValuesIn(candidates()), name_of);

TEST(CacheLayoutTest, WhatIsWrittenIsRead) {
  std::mt19937 generator(34);
  for (const DType dtype : {MOX_F32, MOX_BF16}) {
    for (const int64_t head_dim : {1, 5, 16, 80}) {
      const Cache cache({head_dim, dtype}, random_rows(generator, 100, head_dim),
                        random_rows(generator, 100, head_dim));
      for (int64_t p = 0; p < 100; ++p) {
        for (int64_t i = 0; i < head_dim; ++i) {
          const std::byte* block = cache.blocks[static_cast<size_t>(p / cache_block)];
          EXPECT_EQ(cache.layout.key(block + Cache::key_offset(), p % cache_block, i),
                    cache.keys[static_cast<size_t>(p)][static_cast<size_t>(i)]);
          EXPECT_EQ(cache.layout.value(block + cache.value_offset(), p % cache_block, i),
                    cache.values[static_cast<size_t>(p)][static_cast<size_t>(i)]);
        }
      }
    }
  }
}

}  // namespace
}  // namespace moxie::kernels::test
