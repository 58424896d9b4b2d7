// LoRA's two products and DoRA's norms: against sums in higher precision, rows against themselves alone, or the twin.
#include <numeric>

#include "kernels/factor_bank.h"
#include "support.h"

namespace moxie::kernels::test {
namespace {

class LoraTest : public testing::TestWithParam<const Kernels*> {};

// A factor of two sets, of which the second is used: the first set's panels and the padding must not matter.
struct Factor {
  std::vector<float> values;
  FactorBank bank;
  int64_t n, k;

  Factor(std::mt19937& generator, int64_t width, int64_t n_, int64_t k_)
      : Factor(MOX_F32, random_floats(generator, n_ * k_), width, n_, k_) {}
  Factor(DType dtype, std::vector<float> values_, int64_t width, int64_t n_, int64_t k_)
      : values(std::move(values_)), bank(dtype, width, 2, n_, k_), n(n_), k(k_) {
    const std::vector<float> other(values.size(), not_a_number);
    bank.pack(0, 0, n, 0, k, other.data(), k);
    bank.pack(1, 0, n, 0, k, values.data(), k);
  }
  [[nodiscard]] float at(int64_t row, int64_t column) const { return values[static_cast<size_t>(row * k + column)]; }
};

std::vector<int32_t> shuffled_rows(std::mt19937& generator, int64_t rows) {
  std::vector<int32_t> result(static_cast<size_t>(rows));
  std::iota(result.begin(), result.end(), 0);
  std::shuffle(result.begin(), result.end(), generator);
  return result;
}

struct Shrink {
  const Factor& a;
  const std::vector<float>& x;
  int64_t ldx;

  [[nodiscard]] LoraShrink call(const int32_t* rows_of, int64_t rows, int64_t k_begin, int64_t k_end, float* z,
                                int64_t ldz) const {
    LoraShrink s;
    s.x = x.data() + k_begin;
    s.ldx = ldx;
    s.rows_of = rows_of;
    s.rows = rows;
    s.a = a.bank.panels_of(1);
    s.k_begin = k_begin;
    s.k_end = k_end;
    s.z = z;
    s.ldz = ldz;
    return s;
  }

  // z of the rows that `rows_of` names.
  [[nodiscard]] std::vector<float> run(const Kernels& kernels, const int32_t* rows_of, int64_t rows, int64_t k_begin,
                                       int64_t k_end) const {
    const int64_t ldz = a.bank.panels() * shrink_panel_width + 3;
    std::vector<float> z(static_cast<size_t>(rows * ldz), not_a_number);
    kernels.lora_shrink(call(rows_of, rows, k_begin, k_end, z.data(), ldz));
    std::vector<float> result;
    for (int64_t row = 0; row < rows; ++row) {
      const float* from = z.data() + row * ldz;
      for (int64_t j = a.n; j < ldz - 3; ++j) EXPECT_EQ(from[j], 0.0F) << "padding";
      for (int64_t j = ldz - 3; j < ldz; ++j) EXPECT_TRUE(std::isnan(from[j])) << "behind the panels";
      result.insert(result.end(), from, from + a.n);
    }
    return result;
  }
};

TEST_P(LoraTest, ShrinkAgreesWithDoublePrecision) {
  std::mt19937 generator(21);
  for (int i = 0; i < 120; ++i) {
    const int64_t rows = random_between(generator, 1, 40), rank = random_between(generator, 1, 40);
    const int64_t k = random_between(generator, 1, i % 4 == 0 ? 2600 : 300), ldx = k + random_between(generator, 0, 5);
    const int64_t k_begin = random_between(generator, 0, (k - 1) / 128) * 128;
    SCOPED_TRACE(testing::Message() << rows << " rows, rank " << rank << ", k " << k_begin << " .. " << k);
    const Factor a(generator, shrink_panel_width, rank, k);
    const std::vector<float> x = random_floats(generator, rows * ldx);
    const std::vector<int32_t> rows_of = shuffled_rows(generator, rows);
    const std::vector<float> z = Shrink{a, x, ldx}.run(*GetParam(), rows_of.data(), rows, k_begin, k);
    for (int64_t row = 0; row < rows; ++row) {
      const float* from = x.data() + rows_of[static_cast<size_t>(row)] * ldx;
      for (int64_t j = 0; j < rank; ++j) {
        double sum = 0, norm_x = 0, norm_a = 0;
        for (int64_t c = k_begin; c < k; ++c) {
          sum += double{from[c]} * a.at(j, c);
          norm_x += double{from[c]} * from[c];
          norm_a += double{a.at(j, c)} * a.at(j, c);
        }
        ASSERT_NEAR(z[static_cast<size_t>(row * rank + j)], sum, 8 * epsilon * std::sqrt(norm_x * norm_a))
            << "row " << row << ", rank " << j;
      }
    }
  }
}

TEST_P(LoraTest, ShrinkOfARowDoesNotDependOnTheOthers) {
  std::mt19937 generator(22);
  constexpr int64_t rows = 29, rank = 21, k = 2500;
  const Factor a(generator, shrink_panel_width, rank, k);
  const std::vector<float> x = random_floats(generator, rows * k);
  const Shrink shrink{a, x, k};
  const std::vector<float> together = shrink.run(*GetParam(), nullptr, rows, 0, k);
  for (int count = 1; count < rows; ++count) {
    for (int32_t first = 0; first + count <= rows; first += count) {
      std::vector<int32_t> some(static_cast<size_t>(count));
      std::iota(some.begin(), some.end(), first);
      const std::vector<float> z = shrink.run(*GetParam(), some.data(), count, 0, k);
      ASSERT_EQ(std::memcmp(z.data(), together.data() + first * rank, z.size() * sizeof(float)), 0)
          << count << " rows from " << first;
    }
  }
}

TEST_P(LoraTest, ShrinkInPartsGivesEachItsOwnSum) {
  std::mt19937 generator(25);
  constexpr int64_t rank = 21, k = 2500, part = 128;
  const Factor a(generator, shrink_panel_width, rank, k);
  for (const int64_t rows : {1, 2, 7}) {
    const std::vector<float> x = random_floats(generator, rows * k);
    const Shrink shrink{a, x, k};
    const int64_t ldz = a.bank.panels() * shrink_panel_width, ld_part = rows * ldz + 5;
    for (const int64_t k_begin : {0, 128, 1024, 2432}) {
      const int64_t parts = (k - k_begin + part - 1) / part;
      std::vector<float> z(static_cast<size_t>(parts * ld_part), not_a_number);
      LoraShrink s = shrink.call(nullptr, rows, k_begin, k, z.data(), ldz);
      s.part = part;
      s.ld_part = ld_part;
      GetParam()->lora_shrink(s);
      for (int64_t p = 0; p < parts; ++p) {
        const int64_t begin = k_begin + p * part, end = std::min(begin + part, k);
        const std::vector<float> alone = shrink.run(*GetParam(), nullptr, rows, begin, end);
        for (int64_t row = 0; row < rows; ++row) {
          ASSERT_EQ(std::memcmp(z.data() + p * ld_part + row * ldz, alone.data() + row * rank, rank * sizeof(float)), 0)
              << rows << " rows from " << k_begin << ", part " << p;
        }
      }
    }
  }
}

struct Expand {
  const Factor& b;
  const std::vector<float>& z;

  // `to` has a column more than the panels, which must stay.
  void run(const Kernels& kernels, int64_t first, int64_t rows, const float* from, int64_t ld_from,
           const int32_t* from_rows, float* to, int64_t ld_to, const int32_t* to_rows) const {
    LoraExpand e;
    e.z = z.data() + first * b.k;
    e.ldz = b.k;
    e.rows = rows;
    e.rank = b.k;
    e.b = b.bank.panels_of(1);
    e.from = from;
    e.ld_from = ld_from;
    e.from_rows = from_rows;
    e.to = to;
    e.ld_to = ld_to;
    e.to_rows = to_rows;
    e.first_row = from_rows == nullptr && to_rows == nullptr ? 0 : 5;
    kernels.lora_expand(e);
  }
};

TEST_P(LoraTest, ExpandAgreesWithDoublePrecision) {
  std::mt19937 generator(23);
  for (int i = 0; i < 150; ++i) {
    const int64_t rows = random_between(generator, 1, 40), rank = random_between(generator, 1, 70);
    const int64_t out = random_between(generator, 1, 200), width = (out + 31) / 32 * 32, ld = width + 1;
    SCOPED_TRACE(testing::Message() << rows << " rows, rank " << rank << ", " << out << " columns");
    const Factor b(generator, expand_panel_width, out, rank);
    const std::vector<float> z = random_floats(generator, rows * rank), from = random_floats(generator, rows * ld);
    std::vector<float> to(static_cast<size_t>(rows * ld), -7.0F);
    std::vector<int32_t> from_rows = shuffled_rows(generator, rows), to_rows = shuffled_rows(generator, rows);
    for (auto* list : {&from_rows, &to_rows}) {
      for (int32_t& row : *list) row += 5;
    }
    const bool in_place = i % 3 == 0;
    if (in_place) to = from, to_rows = from_rows;
    Expand{b, z}.run(*GetParam(), 0, rows, in_place ? to.data() : from.data(), ld, from_rows.data(), to.data(), ld,
                     to_rows.data());
    for (int64_t row = 0; row < rows; ++row) {
      const float* before = from.data() + (from_rows[static_cast<size_t>(row)] - 5) * ld;
      const float* found = to.data() + (to_rows[static_cast<size_t>(row)] - 5) * ld;
      for (int64_t c = 0; c < out; ++c) {
        double sum = 0, size = 0;
        for (int64_t j = 0; j < rank; ++j) {
          const double term = double{z[static_cast<size_t>(row * rank + j)]} * b.at(c, j);
          sum += term;
          size += std::abs(term);
        }
        ASSERT_NEAR(found[c], before[c] + sum, 2 * epsilon * (size + std::abs(before[c]))) << row << ", " << c;
      }
      ASSERT_EQ(found[width], in_place ? before[width] : -7.0F) << "behind the panels";
    }
  }
}

TEST_P(LoraTest, ExpandOfARowDoesNotDependOnTheOthers) {
  std::mt19937 generator(24);
  constexpr int64_t rows = 21, rank = 16, out = 608;  // panels that are no multiple of how many are read side by side
  const Factor b(generator, expand_panel_width, out, rank);
  const std::vector<float> z = random_floats(generator, rows * rank), from = random_floats(generator, rows * out);
  std::vector<float> together(from.size());
  Expand{b, z}.run(*GetParam(), 0, rows, from.data(), out, nullptr, together.data(), out, nullptr);
  for (int64_t count = 1; count < rows; ++count) {
    std::vector<float> apart(from.size());
    for (int64_t first = 0; first < rows; first += count) {
      Expand{b, z}.run(*GetParam(), first, std::min(count, rows - first), from.data() + first * out, out, nullptr,
                       apart.data() + first * out, out, nullptr);
    }
    ASSERT_EQ(std::memcmp(apart.data(), together.data(), apart.size() * sizeof(float)), 0) << count << " at once";
  }
}

TEST_P(LoraTest, ExpandFromNothingStartsAtZero) {
  std::mt19937 generator(26);
  constexpr int64_t rows = 9, rank = 5, out = 224;
  const Factor b(generator, expand_panel_width, out, rank);
  const std::vector<float> z = random_floats(generator, rows * rank), zeros(static_cast<size_t>(rows * out));
  for (int64_t count = 1; count <= rows; ++count) {
    std::vector<float> from_zeros(static_cast<size_t>(count * out)), from_nothing(from_zeros);
    Expand{b, z}.run(*GetParam(), 0, count, zeros.data(), out, nullptr, from_zeros.data(), out, nullptr);
    Expand{b, z}.run(*GetParam(), 0, count, nullptr, 0, nullptr, from_nothing.data(), out, nullptr);
    ASSERT_EQ(std::memcmp(from_zeros.data(), from_nothing.data(), from_zeros.size() * sizeof(float)), 0) << count;
  }
}

// Values that bfloat16 holds, with zeros of both signs and numbers that are subnormal.
std::vector<float> bfloat16_values(std::mt19937& generator, int64_t count) {
  std::vector<float> values = random_floats(generator, count);
  for (float& value : values) value = widen_bfloat16(round_to_bfloat16(value));
  constexpr float subnormal = 0x1p-130F;
  for (size_t i = 0; i < values.size(); i += 23) values[i] = i % 3 == 0 ? -0.0F : i % 3 == 1 ? 0.0F : -subnormal;
  return values;
}

TEST_P(LoraTest, ShrinkByBfloat16GivesTheBitsOfFloat32) {
  std::mt19937 generator(27);
  for (const int64_t rank : {5, 16, 40}) {
    for (const int64_t k : {3, 255, 2500}) {
      const std::vector<float> values = bfloat16_values(generator, rank * k);
      const Factor wide(MOX_F32, values, shrink_panel_width, rank, k);
      const Factor narrow(MOX_BF16, values, shrink_panel_width, rank, k);
      for (int64_t rows = 1; rows < 15; ++rows) {
        const std::vector<float> x = random_floats(generator, rows * k);
        const std::vector<float> expected = Shrink{wide, x, k}.run(*GetParam(), nullptr, rows, 0, k);
        const std::vector<float> found = Shrink{narrow, x, k}.run(*GetParam(), nullptr, rows, 0, k);
        ASSERT_EQ(std::memcmp(found.data(), expected.data(), found.size() * sizeof(float)), 0)
            << rows << " rows, rank " << rank << ", k " << k;
      }
    }
  }
}

TEST_P(LoraTest, ShrinkByBfloat16InPartsGivesTheBitsOfFloat32) {
  std::mt19937 generator(28);
  constexpr int64_t rank = 21, k = 2500, part = 128, parts = (k + part - 1) / part;
  const std::vector<float> values = bfloat16_values(generator, rank * k);
  const Factor wide(MOX_F32, values, shrink_panel_width, rank, k);
  const Factor narrow(MOX_BF16, values, shrink_panel_width, rank, k);
  for (const int64_t rows : {1, 2, 7}) {
    const std::vector<float> x = random_floats(generator, rows * k);
    const int64_t ldz = wide.bank.panels() * shrink_panel_width, ld_part = rows * ldz;
    const auto run = [&](const Factor& a) {
      std::vector<float> z(static_cast<size_t>(parts * ld_part), not_a_number);
      LoraShrink s = Shrink{a, x, k}.call(nullptr, rows, 0, k, z.data(), ldz);
      s.part = part;
      s.ld_part = ld_part;
      GetParam()->lora_shrink(s);
      return z;
    };
    const std::vector<float> expected = run(wide), found = run(narrow);
    ASSERT_EQ(std::memcmp(found.data(), expected.data(), found.size() * sizeof(float)), 0) << rows << " rows";
  }
}

TEST_P(LoraTest, ExpandByBfloat16GivesTheBitsOfFloat32) {
  std::mt19937 generator(29);
  for (const int64_t rank : {1, 16, 37}) {
    for (const int64_t out : {7, 96, 608}) {
      const std::vector<float> values = bfloat16_values(generator, out * rank);
      const Factor wide(MOX_F32, values, expand_panel_width, out, rank);
      const Factor narrow(MOX_BF16, values, expand_panel_width, out, rank);
      const int64_t ld = wide.bank.panels() * expand_panel_width;
      for (int64_t rows = 1; rows < 12; ++rows) {
        const std::vector<float> z = random_floats(generator, rows * rank), from = random_floats(generator, rows * ld);
        std::vector<float> expected(from.size()), found(from.size());
        Expand{wide, z}.run(*GetParam(), 0, rows, from.data(), ld, nullptr, expected.data(), ld, nullptr);
        Expand{narrow, z}.run(*GetParam(), 0, rows, from.data(), ld, nullptr, found.data(), ld, nullptr);
        ASSERT_EQ(std::memcmp(found.data(), expected.data(), found.size() * sizeof(float)), 0)
            << rows << " rows, rank " << rank << ", " << out << " columns";
      }
    }
  }
}

// Memory of exactly the rows: reading too far shows under a sanitizer.
TEST_P(LoraTest, NormsAreExactAndHaveTheBitsOfTheTwin) {
  std::mt19937 generator(30);
  for (int i = 0; i < 150; ++i) {
    const int64_t rows = random_between(generator, 1, 40), rank = random_between(generator, 1, 19);
    const int64_t in = random_between(generator, 1, i % 5 == 0 ? 700 : 140);
    const std::vector<float> w = random_floats(generator, rows * in), a = random_floats(generator, rank * in),
                             b = random_floats(generator, rows * rank);
    std::vector<double> found(static_cast<size_t>(rows) + 1, -5.0), expected = found;
    LoraNorms n;
    n.w = w.data();
    n.rows = rows;
    n.in = in;
    n.a = a.data();
    n.b = b.data();
    n.rank = rank;
    n.scaling = 1.75;
    n.norms = found.data();
    GetParam()->lora_norms(n);
    n.norms = expected.data();
    twin().lora_norms(n);
    ASSERT_EQ(std::memcmp(found.data(), expected.data(), found.size() * sizeof(double)), 0)
        << rows << " rows of " << in << ", rank " << rank;
    EXPECT_EQ(found.back(), -5.0) << "written behind the end";
    for (int64_t row = 0; row < rows; ++row) {
      long double squares = 0;
      for (int64_t c = 0; c < in; ++c) {
        long double sum = w[static_cast<size_t>(row * in + c)];
        for (int64_t j = 0; j < rank; ++j) {
          sum += 1.75L * b[static_cast<size_t>(row * rank + j)] * a[static_cast<size_t>(j * in + c)];
        }
        squares += sum * sum;
      }
      const long double norm = std::sqrt(squares);
      EXPECT_NEAR(found[static_cast<size_t>(row)], static_cast<double>(norm), 1e-14 * static_cast<double>(norm));
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Kernels, LoraTest, testing::ValuesIn(usable_entries()), name_of_entry);

}  // namespace
}  // namespace moxie::kernels::test
