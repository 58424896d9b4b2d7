// Weights held compact: every weight comes back, and products have the bits of plain ones.
#include "kernels/compact_layout.h"
#include "kernels/packing.h"
#include "kernels/storage.h"
#include "support.h"

namespace moxie::kernels::test {
namespace {

constexpr int64_t group_words = 64;

using Words = std::vector<uint32_t>;

// Normal weights and, here and there, what no run of exponents holds: `odd` in a thousand.
Words random_words(std::mt19937& generator, int64_t groups, int odd, float scale = 0.02F) {
  std::normal_distribution<float> normal(0, scale);
  Words words(static_cast<size_t>(groups * group_words));
  const auto weight = [&]() -> uint32_t {
    if (random_between(generator, 0, 999) < odd) return static_cast<uint32_t>(random_between(generator, 0, 0xffff));
    return round_to_bfloat16(normal(generator));
  };
  for (uint32_t& word : words) word = weight() | weight() << 16;
  return words;
}

struct Block {
  alignas(64) std::byte bytes[compact_block_bytes] = {};
  [[nodiscard]] const CompactHeader& header() const { return *reinterpret_cast<const CompactHeader*>(bytes); }
};

void expect_back(const Packing& packing, const Block& block, const Words& words, int64_t k_begin, int64_t k_end) {
  const auto first = static_cast<size_t>(k_begin / 2 * panel_width);
  Words found(static_cast<size_t>((k_end - k_begin + 3) / 4 * group_words));
  packing.expand(block.header(), k_begin, k_end, found.data());
  for (size_t i = 0; i < found.size(); ++i) ASSERT_EQ(found[i], words[first + i]) << packing.name << " word " << i;
}

TEST(CompactTest, EveryWeightComesBackAndEveryVariantWritesTheSameBytes) {
  std::mt19937 generator(61);
  for (const int64_t groups : {1, 8, 24, 63, 64}) {
    for (const int odd : {0, 1, 2}) {
      for (int round = 0; round < 20; ++round) {
        const Words words = random_words(generator, groups, round == 0 ? 0 : odd, round % 2 == 0 ? 0.02F : 1e-30F);
        Block want;
        const bool fits = packings().back().compact(words.data(), groups, want.bytes);
        for (const Packing& packing : packings()) {
          Block found;
          ASSERT_EQ(packing.compact(words.data(), groups, found.bytes), fits) << packing.name;
          if (!fits) continue;
          ASSERT_EQ(std::memcmp(found.bytes, want.bytes, sizeof want.bytes), 0) << packing.name;
          expect_back(packing, found, words, 0, groups * compact_group_k);
          const int64_t begin = random_between(generator, 0, groups - 1) * compact_group_k;
          expect_back(packing, found, words, begin, random_between(generator, begin + 1, groups * compact_group_k));
          std::vector<float> row(static_cast<size_t>(groups * compact_group_k));
          const int64_t column = random_between(generator, 0, panel_width - 1);
          read_compact_column(found.header(), column, groups * compact_group_k, row.data());
          for (size_t k = 0; k < row.size(); ++k) {
            const uint32_t word = words[k / 2 * panel_width + static_cast<size_t>(column)];
            ASSERT_EQ(bits_of(row[k]) >> 16, k % 2 == 0 ? word & 0xffffU : word >> 16);
          }
        }
      }
    }
  }
}

TEST(CompactTest, ZerosAndWeightsOfTwoSizesFit) {
  for (const Packing& packing : packings()) {
    Words words(64 * group_words);
    Block block;
    ASSERT_TRUE(packing.compact(words.data(), 64, block.bytes));
    expect_back(packing, block, words, 0, 256);
    // Half are zero, of both signs, the others lie within a few powers of two.
    std::mt19937 generator(62);
    for (uint32_t& word : words) {
      word = round_to_bfloat16(static_cast<float>(random_between(generator, 10, 1000)) * 1e-4F) | 0x80000000U;
    }
    ASSERT_TRUE(packing.compact(words.data(), 64, block.bytes));
    EXPECT_EQ(block.header().count, 0);
    expect_back(packing, block, words, 0, 256);
    // A few weights are a million times as large as the others.
    for (size_t i = 0; i < 18; ++i) words[i * 100] = 0x4b004b00;
    EXPECT_FALSE(packing.compact(words.data(), 64, block.bytes));
    for (size_t i = 9; i < 18; ++i) words[i * 100] = 0;
    ASSERT_TRUE(packing.compact(words.data(), 64, block.bytes));
    EXPECT_EQ(block.header().count, 18);
    expect_back(packing, block, words, 0, 256);
  }
}

std::vector<float> normal_floats(std::mt19937& generator, int64_t count) {
  std::normal_distribution<float> normal(0, 0.05F);
  std::vector<float> result(static_cast<size_t>(count));
  for (float& value : result) value = normal(generator);
  // Exceptions in most blocks.
  for (int64_t i = 0; i < count / 2000; ++i) {
    result[static_cast<size_t>(random_between(generator, 0, count - 1))] = i % 2 == 0 ? 0.0F : 3e9F;
  }
  return result;
}

struct Pair {
  PackedMatrix plain, compact;
  Pair(const std::vector<float>& weights, int64_t n, int64_t k)
      : plain(MOX_BF16, n, k), compact(MOX_BF16, n, k, Storage::kCompact) {
    plain.pack_rows(0, n, weights.data(), MOX_F32, k);
    compact.pack_rows(0, n, weights.data(), MOX_F32, k);
  }
};

TEST(CompactTest, RowsArePackedInAnyPiecesAndReadBack) {
  std::mt19937 generator(63);
  for (const int64_t n : {1, 31, 32, 33, 100}) {
    for (const int64_t k : {1, 31, 32, 255, 256, 257, 700}) {
      const std::vector<float> weights = normal_floats(generator, n * k);
      const Pair whole(weights, n, k);
      EXPECT_LT(whole.compact.bytes(), whole.plain.bytes() * 4 / 5 + static_cast<size_t>(64 * whole.plain.panels()));
      PackedMatrix pieces(MOX_BF16, n, k, Storage::kCompact);
      for (int64_t row = 0; row < n;) {
        const int64_t rows = random_between(generator, 1, n - row);
        pieces.pack_rows(row, rows, weights.data() + row * k, MOX_F32, k);
        row += rows;
      }
      std::vector<float> want(static_cast<size_t>(k)), found = want, piece = want;
      for (int64_t row = 0; row < n; ++row) {
        whole.plain.read_row(row, want.data());
        whole.compact.read_row(row, found.data());
        pieces.read_row(row, piece.data());
        for (size_t i = 0; i < want.size(); ++i) {
          ASSERT_EQ(bits_of(found[i]), bits_of(want[i])) << n << " x " << k << ", row " << row << ", " << i;
          ASSERT_EQ(bits_of(piece[i]), bits_of(want[i])) << n << " x " << k << ", row " << row << ", " << i;
        }
      }
    }
  }
}

TEST(CompactTest, WhatIsTooDifferentIsRefused) {
  std::mt19937 generator(64);
  Words words = random_words(generator, 64, 1000);
  std::vector<float> weights;
  for (const uint32_t word : words) weights.push_back(widen_bfloat16(static_cast<bfloat16>(word)));
  PackedMatrix matrix(MOX_BF16, 16, 256, Storage::kCompact);
  EXPECT_THROW(matrix.pack_rows(0, 16, weights.data(), MOX_F32, 256), NotCompact);
  EXPECT_THROW(PackedMatrix(MOX_F32, 16, 256, Storage::kCompact), Error);
}

class CompactMatmulTest : public testing::TestWithParam<const Kernels*> {};

// Every count of rows that has code of its own, parts of k and of the panels, sums that are added to.
TEST_P(CompactMatmulTest, HasTheBitsOfPlainWeights) {
  std::mt19937 generator(65);
  const auto check = [&](int64_t rows, int64_t n, int64_t k) {
    SCOPED_TRACE(testing::Message() << rows << " rows, " << n << " x " << k);
    const Pair w(normal_floats(generator, n * k), n, k);
    std::vector<std::vector<float>> values;
    for (int64_t r = 0; r < rows; ++r) values.push_back(random_floats(generator, k));
    const Activations a(MOX_BF16, values, k, random_between(generator, 0, 5));
    Matmul m;
    m.lda = a.lda();
    m.rows = rows;
    m.panel_begin = random_between(generator, 0, w.plain.panels() - 1);
    m.panel_end = random_between(generator, m.panel_begin + 1, w.plain.panels());
    m.k_begin = random_between(generator, 0, 2) == 0 ? random_between(generator, 0, (k - 1) / 32) * 32 : 0;
    m.k_end = random_between(generator, 0, 3) == 0 ? std::min(m.k_begin + 32, k) : k;
    m.a = a.data(m.k_begin);
    m.accumulate = random_between(generator, 0, 1) == 1;
    m.ldc = (m.panel_end - m.panel_begin) * panel_width + 3;
    std::vector<float> results[2];
    for (const bool compact : {false, true}) {
      std::vector<float>& c = results[compact ? 1 : 0];
      c.assign(static_cast<size_t>(rows * m.ldc), m.accumulate ? 0.5F : not_a_number);
      m.w = compact ? &w.compact : &w.plain;
      m.c = c.data();
      m.after = compact && random_between(generator, 0, 1) == 1 ? w.compact.panel(0) : nullptr;
      GetParam()->matmul_bf16(m);
    }
    for (size_t i = 0; i < results[0].size(); ++i) ASSERT_EQ(bits_of(results[1][i]), bits_of(results[0][i])) << i;
  };
  for (int64_t rows = 1; rows <= 64; ++rows) check(rows, random_between(generator, 1, 400), 300 + rows);
  for (const int64_t rows : {70, 130, 160, 161, 300}) check(rows, random_between(generator, 1, 200), 600);
  for (const int64_t k : {1, 3, 31, 32, 33, 255, 256, 257, 511, 512, 1025, 2049}) {
    for (const int64_t rows : {1, 2, 3, 4, 5, 11, 17, 33, 52}) check(rows, random_between(generator, 1, 300), k);
  }
  // Few rows read other numbers of panels side by side where these are long.
  for (int64_t rows = 1; rows <= 4; ++rows) {
    for (const int64_t n : {20, 64, 200, 290}) check(rows, n, 4100);
  }
}

// How far a product has come is told as with plain weights: to the end.
TEST_P(CompactMatmulTest, TellsHowFarItIsAndFetchesWithoutATrace) {
  std::mt19937 generator(66);
  const auto check = [&](int64_t rows, int64_t k) {
    SCOPED_TRACE(testing::Message() << rows << " rows, k " << k);
    const int64_t n = 200;
    const Pair w(normal_floats(generator, n * k), n, k);
    std::vector<std::vector<float>> values;
    for (int64_t r = 0; r < rows; ++r) values.push_back(random_floats(generator, k));
    const Activations a(MOX_BF16, values, k, 0);
    std::vector<float> c(static_cast<size_t>(rows * 224)), quiet = c;
    const std::vector<float> wanted(30000);
    const Fetch fetches[] = {{wanted.data(), 40000}, {wanted.data() + 15000, 60000}};
    struct Seen {
      int64_t done = 0, of = -1;
    } seen;
    Matmul m;
    m.a = a.data();
    m.lda = a.lda();
    m.rows = rows;
    m.w = &w.compact;
    m.panel_end = w.compact.panels();
    m.k_end = k;
    m.ldc = 224;
    m.c = quiet.data();
    GetParam()->matmul_bf16(m);
    m.c = c.data();
    m.meanwhile = {fetches, 2,
                   [](void* payload, int64_t done, int64_t of) {
                     auto& told = *static_cast<Seen*>(payload);
                     EXPECT_GE(done, told.done);
                     EXPECT_LE(done, of);
                     told = {done, of};
                   },
                   &seen};
    GetParam()->matmul_bf16(m);
    EXPECT_TRUE(seen.of < 0 || seen.done == seen.of) << seen.done << " of " << seen.of;
    EXPECT_EQ(c, quiet);
  };
  for (const int64_t rows : {1, 4, 6, 12, 20, 30, 60, 200}) check(rows, 701);
  for (const int64_t rows : {1, 2, 3, 4}) check(rows, 4100);
}

INSTANTIATE_TEST_SUITE_P(Entries, CompactMatmulTest, testing::ValuesIn(usable_entries()), name_of_entry);

TEST(StorageTest, IsCompactWhereThatIsWantedAndFits) {
  std::mt19937 generator(67);
  const int64_t n = 1024, k = 512;
  const std::vector<float> weights = normal_floats(generator, n * k);
  const auto pack = [&](int64_t first, int64_t rows, int64_t to_row, PackedMatrix* to) {
    to->pack_rows(to_row, rows, weights.data() + first * k, MOX_F32, k);
  };
  const auto never = [](int64_t, int64_t, int64_t, PackedMatrix*) { ADD_FAILURE() << "nothing is to be tried"; };
  const StoragePolicy compact{MOX_STORAGE_COMPACT, false}, quick{MOX_STORAGE_AUTO, true}, slow{MOX_STORAGE_AUTO, false};
  EXPECT_EQ(storage_of(compact, MOX_BF16, n, k, pack), Storage::kCompact);
  EXPECT_EQ(storage_of(compact, MOX_F32, n, k, never), Storage::kPlain);
  EXPECT_EQ(storage_of(quick, MOX_BF16, n, k, pack), Storage::kCompact);
  EXPECT_EQ(storage_of(quick, MOX_BF16, n / 2, k, never), Storage::kPlain) << "smaller than the least";
  EXPECT_EQ(storage_of(slow, MOX_BF16, n, k, never), Storage::kPlain);
  EXPECT_EQ(storage_of({MOX_STORAGE_PLAIN, true}, MOX_BF16, n, k, never), Storage::kPlain);
  const auto unfit = [](int64_t, int64_t, int64_t, PackedMatrix*) { throw NotCompact(); };
  EXPECT_EQ(storage_of(compact, MOX_BF16, n, k, unfit), Storage::kPlain);
}

// Whatever this machine has: the policy only asks which kernels were chosen.
TEST(StorageTest, IsQuickerCompactWhereVectorsAreWide) {
  const auto quicker = [](const Kernels& kernels) {
    Choice choice;
    choice.bf16 = &kernels;
    return storage_policy(MOX_STORAGE_AUTO, choice).compact_is_quicker;
  };
  EXPECT_TRUE(quicker(entries::amx));
  EXPECT_TRUE(quicker(entries::avx512_bf16));
  EXPECT_TRUE(quicker(entries::avx512));
  EXPECT_FALSE(quicker(entries::avx2));
  EXPECT_FALSE(quicker(entries::portable));
  EXPECT_FALSE(quicker(entries::eigen));
  EXPECT_FALSE(quicker(entries::reference));
}

}  // namespace
}  // namespace moxie::kernels::test
