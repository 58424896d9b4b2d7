// A row's bits depend on that row and the weights only.
#include <algorithm>
#include <numeric>
#include <thread>

#include "support.h"

namespace moxie::kernels::test {
namespace {

class InvarianceTest : public testing::TestWithParam<Candidate> {};

constexpr int64_t most_rows = 70;

struct Setting {
  int64_t n, k;
  PackedMatrix w;
  std::vector<std::vector<float>> rows;

  Setting(DType dtype, int64_t n_, int64_t k_, std::mt19937& generator)
      : n(n_), k(k_), w(packed(dtype, random_floats(generator, n_ * k_), n_, k_)) {
    for (int64_t r = 0; r < most_rows; ++r) rows.push_back(random_floats(generator, k_));
  }

  // The product of some of the rows with panels [begin, end), each row in its own vector.
  [[nodiscard]] std::vector<std::vector<float>> product(const Candidate& candidate, const std::vector<size_t>& chosen,
                                                        int64_t begin, int64_t end, int64_t gap) const {
    std::vector<std::vector<float>> some;
    for (const size_t row : chosen) some.push_back(rows[row]);
    const Activations a(candidate.dtype, some, k, gap);
    Matmul m;
    m.a = a.data();
    m.lda = a.lda();
    m.rows = static_cast<int64_t>(chosen.size());
    m.w = &w;
    m.panel_begin = begin;
    m.panel_end = end;
    m.k_end = k;
    m.ldc = (end - begin) * 32 + gap;
    std::vector<float> c(static_cast<size_t>(m.rows * m.ldc), not_a_number);
    m.c = c.data();
    run(*candidate.kernels, candidate.dtype, m);
    std::vector<std::vector<float>> result;
    for (int64_t r = 0; r < m.rows; ++r) {
      result.emplace_back(c.begin() + r * m.ldc, c.begin() + r * m.ldc + (end - begin) * 32);
    }
    return result;
  }
};

std::vector<size_t> all_rows() {
  std::vector<size_t> rows(most_rows);
  std::iota(rows.begin(), rows.end(), size_t{0});
  return rows;
}

void expect_same_bits(const std::vector<float>& found, const std::vector<float>& whole, int64_t first_column) {
  ASSERT_EQ(std::memcmp(found.data(), whole.data() + first_column, found.size() * sizeof(float)), 0);
}

TEST_P(InvarianceTest, AnyRowsInAnyOrderGiveTheSameBits) {
  std::mt19937 generator(11);
  for (const auto& [n, k] : std::vector<std::pair<int64_t, int64_t>>{{130, 97}, {200, 256}, {97, 1090}, {33, 1}}) {
    const Setting setting(GetParam().dtype, n, k, generator);
    const auto whole = setting.product(GetParam(), all_rows(), 0, setting.w.panels(), 0);
    std::vector<size_t> order = all_rows();
    for (int64_t count = 1; count <= most_rows; ++count) {
      SCOPED_TRACE(testing::Message() << count << " rows, n " << n << ", k " << k);
      std::shuffle(order.begin(), order.end(), generator);
      const std::vector<size_t> chosen(order.begin(), order.begin() + count);
      const int64_t begin = random_between(generator, 0, setting.w.panels() - 1);
      const int64_t end = random_between(generator, begin + 1, setting.w.panels());
      const auto part = setting.product(GetParam(), chosen, begin, end, random_between(generator, 0, 9));
      for (size_t i = 0; i < chosen.size(); ++i) {
        expect_same_bits(part[i], whole[chosen[i]], begin * 32);
        if (HasFatalFailure()) return;
      }
    }
  }
}

TEST_P(InvarianceTest, EveryRowAloneGivesTheSameBits) {
  std::mt19937 generator(12);
  const Setting setting(GetParam().dtype, 100, 333, generator);
  const auto whole = setting.product(GetParam(), all_rows(), 0, setting.w.panels(), 2);
  for (const size_t row : all_rows()) {
    const auto alone = setting.product(GetParam(), {row}, 0, setting.w.panels(), 0);
    expect_same_bits(alone[0], whole[row], 0);
    if (HasFatalFailure()) return;
  }
}

TEST_P(InvarianceTest, TheSameRowStandsAnywhere) {
  std::mt19937 generator(13);
  const Setting setting(GetParam().dtype, 64, 300, generator);
  const std::vector<size_t> copies(most_rows, 5);
  const auto result = setting.product(GetParam(), copies, 0, setting.w.panels(), 0);
  for (const auto& row : result) {
    expect_same_bits(row, result[0], 0);
    if (HasFatalFailure()) return;
  }
}

TEST_P(InvarianceTest, ThreadsAtOnceGiveTheSameBits) {
  std::mt19937 generator(14);
  const Setting setting(GetParam().dtype, 128, 301, generator);
  const auto whole = setting.product(GetParam(), all_rows(), 0, setting.w.panels(), 0);
  std::vector<std::vector<std::vector<float>>> results(4);
  {
    std::vector<std::jthread> threads;
    for (auto& result : results) {
      threads.emplace_back([&] { result = setting.product(GetParam(), all_rows(), 0, setting.w.panels(), 0); });
    }
  }
  for (const auto& result : results) EXPECT_EQ(result, whole);
}

// The documented order: blocks of 256 summed by themselves and added in order. oneDNN and tiles have their own.
class DocumentedOrderTest : public testing::TestWithParam<Candidate> {};

std::vector<Candidate> candidates_with_documented_order() {
  std::vector<Candidate> result = candidates();
  std::erase_if(result, [](const Candidate& c) {
    const bool tiles = c.dtype == MOX_BF16 && std::string(c.kernels->name).starts_with("amx");
    return tiles || c.kernels->backend == MOX_BACKEND_ONEDNN;
  });
  return result;
}

TEST_P(DocumentedOrderTest, BlocksAreAddedInOrder) {
  std::mt19937 generator(15);
  const Setting setting(GetParam().dtype, 64, 777, generator);
  const auto whole = setting.product(GetParam(), all_rows(), 0, setting.w.panels(), 0);
  const Activations a(GetParam().dtype, setting.rows, setting.k, 0);
  std::vector<float> c(static_cast<size_t>(most_rows * 64), not_a_number);
  for (int64_t k = 0; k < setting.k; k += 256) {
    Matmul m;
    m.a = a.data(k);
    m.lda = a.lda();
    m.rows = most_rows;
    m.w = &setting.w;
    m.panel_end = 2;
    m.k_begin = k;
    m.k_end = std::min<int64_t>(k + 256, setting.k);
    m.c = c.data();
    m.ldc = 64;
    m.accumulate = k > 0;
    run(*GetParam().kernels, GetParam().dtype, m);
  }
  for (size_t r = 0; r < static_cast<size_t>(most_rows); ++r) {
    ASSERT_EQ(std::memcmp(c.data() + r * 64, whole[r].data(), 64 * sizeof(float)), 0) << "row " << r;
  }
}

INSTANTIATE_TEST_SUITE_P(Kernels, InvarianceTest, testing::ValuesIn(candidates()), name_of);
INSTANTIATE_TEST_SUITE_P(Kernels, DocumentedOrderTest, testing::ValuesIn(candidates_with_documented_order()), name_of);

}  // namespace
}  // namespace moxie::kernels::test
