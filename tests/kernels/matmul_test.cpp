// Every entry's products against the reference twin.
#include "support.h"

namespace moxie::kernels::test {
namespace {

class MatmulTest : public testing::TestWithParam<Candidate> {};

struct Shape {
  int64_t rows, n, k;
};

// A product and what surrounds it: columns behind the panels must stay as they were.
struct Product {
  std::vector<float> c;
  int64_t width, ldc;

  Product(const Kernels& kernels, DType dtype, Matmul m, float before) : width((m.panel_end - m.panel_begin) * 32) {
    ldc = width + 3;
    c.assign(static_cast<size_t>(m.rows * ldc), before);
    m.c = c.data();
    m.ldc = ldc;
    run(kernels, dtype, m);
  }
  [[nodiscard]] float at(int64_t row, int64_t column) const { return c[static_cast<size_t>(row * ldc + column)]; }
};

// Rounding errors of a sum of k products of random sign stay within a few units of the norms' product; a lost or
// doubled element is of the size of one product, norms / k, and the shapes are small enough for that to show.
double tolerance(double norm_a, double norm_w) { return 8 * epsilon * norm_a * norm_w; }

void compare(const Candidate& candidate, const Shape& shape, std::mt19937& generator) {
  SCOPED_TRACE(testing::Message() << "rows " << shape.rows << ", n " << shape.n << ", k " << shape.k);
  const PackedMatrix w = packed(candidate.dtype, random_floats(generator, shape.n * shape.k), shape.n, shape.k);
  const Activations a(candidate.dtype, random_rows(generator, shape.rows, shape.k), shape.k,
                      random_between(generator, 0, 5));
  Matmul m;
  m.a = a.data();
  m.lda = a.lda();
  m.rows = shape.rows;
  m.w = &w;
  m.panel_begin = random_between(generator, 0, w.panels() - 1);
  m.panel_end = random_between(generator, m.panel_begin + 1, w.panels());
  m.k_begin = random_between(generator, 0, (shape.k - 1) / 32) * 32;
  m.a = a.data(m.k_begin);
  m.k_end = random_between(generator, 0, 2) == 0 ? std::min(m.k_begin + 32, shape.k) : shape.k;
  m.accumulate = random_between(generator, 0, 1) == 1;
  const float before = m.accumulate ? 0.5F : not_a_number;
  const Product expected(twin(), candidate.dtype, m, before);
  const Product found(*candidate.kernels, candidate.dtype, m, before);

  std::vector<float> row_of_w(static_cast<size_t>(shape.k));
  for (int64_t column = 0; column < found.width; ++column) {
    const int64_t feature = m.panel_begin * 32 + column;
    double norm_w = 0;
    if (feature < shape.n) {
      w.read_row(feature, row_of_w.data());
      for (const float value : row_of_w) norm_w += double{value} * value;
    }
    for (int64_t row = 0; row < shape.rows; ++row) {
      if (feature >= shape.n) {
        ASSERT_EQ(found.at(row, column), m.accumulate ? before : 0.0F) << "padding column " << column;
      }
      const double limit = tolerance(a.norm(row, shape.k), std::sqrt(norm_w)) + (m.accumulate ? epsilon : 0);
      ASSERT_NEAR(found.at(row, column), expected.at(row, column), limit) << "row " << row << ", column " << column;
    }
  }
  for (int64_t row = 0; row < shape.rows; ++row) {
    for (int64_t column = found.width; column < found.ldc; ++column) {
      ASSERT_EQ(bits_of(found.at(row, column)), bits_of(before)) << "behind the panels of row " << row;
    }
  }
}

TEST_P(MatmulTest, AgreesWithReferenceOnOddShapes) {
  std::mt19937 generator(1);
  for (int i = 0; i < 300; ++i) {
    compare(GetParam(),
            {random_between(generator, 1, 70), random_between(generator, 1, 130), random_between(generator, 1, 130)},
            generator);
    if (HasFatalFailure()) return;
  }
}

TEST_P(MatmulTest, AgreesWithReferenceOverSeveralBlocks) {
  std::mt19937 generator(2);
  for (const int64_t k : {255, 256, 257, 288, 511, 513, 800, 1025}) {
    for (const int64_t rows : {1, 2, 4, 5, 7, 8, 9, 17, 24, 25, 48, 49, 64, 65, 160, 300}) {
      compare(GetParam(), {rows, random_between(generator, 1, 300), k}, generator);
      if (HasFatalFailure()) return;
    }
  }
}

TEST_P(MatmulTest, AgreesWithDoublePrecision) {
  std::mt19937 generator(3);
  const int64_t rows = 9, n = 40, k = 700;
  const std::vector<float> weights = random_floats(generator, n * k);
  const PackedMatrix w = packed(GetParam().dtype, weights, n, k);
  const auto values = random_rows(generator, rows, k);
  const Activations a(GetParam().dtype, values, k, 0);
  Matmul m;
  m.a = a.data();
  m.lda = a.lda();
  m.rows = rows;
  m.w = &w;
  m.panel_end = w.panels();
  m.k_end = k;
  const Product found(*GetParam().kernels, GetParam().dtype, m, not_a_number);
  const auto held = [&](float value) {
    return GetParam().dtype == MOX_F32 ? value : widen_bfloat16(round_to_bfloat16(value));
  };
  for (int64_t row = 0; row < rows; ++row) {
    for (int64_t column = 0; column < n; ++column) {
      double sum = 0, norm_w = 0;
      for (int64_t i = 0; i < k; ++i) {
        const double weight = held(weights[static_cast<size_t>(column * k + i)]);
        sum += held(values[static_cast<size_t>(row)][static_cast<size_t>(i)]) * weight;
        norm_w += weight * weight;
      }
      EXPECT_NEAR(found.at(row, column), sum, tolerance(a.norm(row, k), std::sqrt(norm_w)));
    }
  }
}

// What a product does for its caller meanwhile shows in nothing but the calls.
TEST_P(MatmulTest, TellsHowFarItIsAndFetchesWithoutATrace) {
  std::mt19937 generator(4);
  for (const int64_t rows : {1, 3, 7, 8, 16, 17, 30, 70, 300}) {
    SCOPED_TRACE(testing::Message() << rows << " rows");
    const int64_t n = 200, k = 700;
    const PackedMatrix w = packed(GetParam().dtype, random_floats(generator, n * k), n, k);
    const Activations a(GetParam().dtype, random_rows(generator, rows, k), k, 0);
    Matmul m;
    m.a = a.data();
    m.lda = a.lda();
    m.rows = rows;
    m.w = &w;
    m.panel_end = w.panels();
    m.k_begin = 0;
    m.k_end = k;
    const Product plain(*GetParam().kernels, GetParam().dtype, m, not_a_number);

    const std::vector<float> wanted(30000);
    std::vector<Fetch> fetches;
    for (int64_t at = 0; at < 29000;) {
      const int64_t count = random_between(generator, 0, 3000);
      fetches.push_back({wanted.data() + at, count * 4});
      at += count;
    }
    struct Progress {
      int64_t done = 0, of = 0;
    } progress;
    m.meanwhile = {fetches.data(), static_cast<int64_t>(fetches.size()),
                   [](void* payload, int64_t done, int64_t of) {
                     auto& seen = *static_cast<Progress*>(payload);
                     EXPECT_GT(done, seen.done);
                     EXPECT_LE(done, of);
                     EXPECT_TRUE(seen.of == 0 || seen.of == of);
                     seen = {done, of};
                   },
                   &progress};
    const Product busy(*GetParam().kernels, GetParam().dtype, m, not_a_number);
    EXPECT_EQ(progress.done, progress.of);
    for (int64_t row = 0; row < rows; ++row) {
      for (int64_t column = 0; column < plain.width; ++column) {
        ASSERT_EQ(bits_of(busy.at(row, column)), bits_of(plain.at(row, column)))
            << "row " << row << ", column " << column;
      }
    }
  }
}

TEST_P(MatmulTest, AnEmptySumIsZeroOrLeavesWhatIsThere) {
  const PackedMatrix w(GetParam().dtype, 40, 0);
  Matmul m;
  m.rows = 3;
  m.w = &w;
  m.panel_end = w.panels();
  const Product fresh(*GetParam().kernels, GetParam().dtype, m, not_a_number);
  m.accumulate = true;
  const Product kept(*GetParam().kernels, GetParam().dtype, m, 7);
  for (int64_t row = 0; row < m.rows; ++row) {
    for (int64_t column = 0; column < fresh.width; ++column) {
      EXPECT_EQ(fresh.at(row, column), 0.0F);
      EXPECT_EQ(kept.at(row, column), 7.0F);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Kernels, MatmulTest, testing::ValuesIn(candidates()), name_of);

}  // namespace
}  // namespace moxie::kernels::test
