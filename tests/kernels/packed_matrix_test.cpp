#include <gmock/gmock.h>

#include <thread>

#include "runtime/error.h"
#include "support.h"

namespace moxie::kernels::test {
namespace {

using testing::HasSubstr;

std::vector<float> read(const PackedMatrix& matrix, int64_t row) {
  std::vector<float> result(static_cast<size_t>(matrix.k()));
  matrix.read_row(row, result.data());
  return result;
}

TEST(PackedMatrixTest, Float32ComesBackAndLiesAsDocumented) {
  std::mt19937 generator(41);
  for (const auto& [n, k] :
       std::vector<std::pair<int64_t, int64_t>>{{1, 1}, {31, 33}, {32, 64}, {70, 65}, {129, 130}}) {
    const std::vector<float> source = random_floats(generator, n * (k + 2));
    PackedMatrix matrix(MOX_F32, n, k);
    matrix.pack_rows(0, n, source.data(), MOX_F32, k + 2);
    EXPECT_EQ(matrix.bytes(), static_cast<size_t>((n + 31) / 32 * 32 * ((k + 31) / 32 * 32) * 4));
    for (int64_t row = 0; row < matrix.panels() * 32; ++row) {
      for (int64_t i = 0; i < matrix.padded_k(); ++i) {
        const float want = row < n && i < k ? source[static_cast<size_t>(row * (k + 2) + i)] : 0.0F;
        ASSERT_EQ(matrix.panel_f32(row / 32)[i * 32 + row % 32], want) << row << ", " << i;
        ASSERT_EQ(matrix.panel_f32(row / 32, i)[row % 32], want);
      }
    }
  }
}

TEST(PackedMatrixTest, Bfloat16ComesBackAndLiesInPairs) {
  std::mt19937 generator(42);
  for (const auto& [n, k] :
       std::vector<std::pair<int64_t, int64_t>>{{1, 1}, {31, 33}, {32, 64}, {70, 65}, {129, 131}}) {
    std::vector<bfloat16> source(static_cast<size_t>(n * k));
    for (bfloat16& value : source) value = static_cast<bfloat16>(generator());
    PackedMatrix matrix(MOX_BF16, n, k);
    matrix.pack_rows(0, n, source.data(), MOX_BF16, k);
    for (int64_t row = 0; row < matrix.panels() * 32; ++row) {
      for (int64_t i = 0; i < matrix.padded_k(); ++i) {
        const bfloat16 want = row < n && i < k ? source[static_cast<size_t>(row * k + i)] : bfloat16{0};
        ASSERT_EQ(matrix.panel_bf16(row / 32)[(i / 2 * 32 + row % 32) * 2 + i % 2], want) << row << ", " << i;
      }
    }
    for (int64_t row = 0; row < n; ++row) {
      const std::vector<float> values = read(matrix, row);
      for (int64_t i = 0; i < k; ++i) {
        const float want = widen_bfloat16(source[static_cast<size_t>(row * k + i)]);
        ASSERT_EQ(bits_of(values[static_cast<size_t>(i)]), bits_of(want));
      }
    }
  }
}

TEST(PackedMatrixTest, APanelReadsAsItsRowsDo) {
  std::mt19937 generator(43);
  for (const int64_t n : {1, 31, 32, 33, 70}) {
    for (const int64_t k : {1, 31, 32, 128, 129, 255, 256, 257, 700}) {
      const std::vector<float> source = random_floats(generator, n * k);
      for (const Storage storage : {Storage::kPlain, Storage::kCompact}) {
        for (const DType dtype : {MOX_F32, MOX_BF16}) {
          if (dtype == MOX_F32 && storage == Storage::kCompact) continue;
          PackedMatrix matrix(dtype, n, k, storage);
          matrix.pack_rows(0, n, source.data(), MOX_F32, k);
          for (int64_t panel = 0; panel < matrix.panels(); ++panel) {
            const int64_t rows = std::min<int64_t>(panel_width, n - panel * panel_width);
            std::vector<float> found(static_cast<size_t>(rows * k));
            matrix.read_panel(panel, found.data());
            for (int64_t row = 0; row < rows; ++row) {
              const std::vector<float> want = read(matrix, panel * panel_width + row);
              ASSERT_EQ(std::memcmp(found.data() + row * k, want.data(), want.size() * sizeof(float)), 0)
                  << n << " x " << k << ", row " << row << " of panel " << panel;
            }
          }
        }
      }
    }
  }
}

TEST(PackedMatrixTest, RoundsFloat32ToNearestEvenAndKeepsNaN) {
  const std::vector<uint32_t> bits = {0x3f800000, 0x3f808000, 0x3f808001, 0x3f818000, 0x3f817fff, 0x7f7fffff,
                                      0x7f800000, 0xff800000, 0x7f800001, 0x80000000, 0x00000001};
  const std::vector<bfloat16> want = {0x3f80, 0x3f80, 0x3f81, 0x3f82, 0x3f81, 0x7f80,
                                      0x7f80, 0xff80, 0x7fc0, 0x8000, 0x0000};
  PackedMatrix matrix(MOX_BF16, 1, static_cast<int64_t>(bits.size()));
  matrix.pack_rows(0, 1, bits.data(), MOX_F32, matrix.k());
  for (size_t i = 0; i < bits.size(); ++i) EXPECT_EQ(matrix.panel_bf16(0)[i / 2 * 64 + i % 2], want[i]) << i;
}

// Every float16 there is, against the definition of binary16.
TEST(PackedMatrixTest, WidensEveryFloat16Exactly) {
  std::vector<float16> source(65536);
  for (size_t i = 0; i < source.size(); ++i) source[i] = static_cast<float16>(i);
  PackedMatrix matrix(MOX_F32, 256, 256);
  matrix.pack_rows(0, 256, source.data(), MOX_F16, 256);
  PackedMatrix rounded(MOX_BF16, 256, 256);
  rounded.pack_rows(0, 256, source.data(), MOX_F16, 256);
  for (int64_t row = 0; row < 256; ++row) {
    const std::vector<float> values = read(matrix, row), halves = read(rounded, row);
    for (int64_t i = 0; i < 256; ++i) {
      const auto bits = static_cast<int>(row * 256 + i);
      const int exponent = bits >> 10 & 31, mantissa = bits & 1023;
      const float found = values[static_cast<size_t>(i)];
      const float half = halves[static_cast<size_t>(i)];
      EXPECT_EQ(std::signbit(found), bits >= 32768) << bits;
      if (exponent == 31 && mantissa != 0) {
        EXPECT_TRUE(std::isnan(found) && std::isnan(half)) << bits;
        continue;
      }
      const double magnitude = exponent == 31  ? std::numeric_limits<double>::infinity()
                               : exponent == 0 ? std::ldexp(mantissa, -24)
                                               : std::ldexp(1024 + mantissa, exponent - 25);
      EXPECT_EQ(std::abs(double{found}), magnitude) << bits;
      EXPECT_EQ(bits_of(half), bits_of(widen_bfloat16(round_to_bfloat16(found)))) << bits;
    }
  }
}

TEST(PackedMatrixTest, TakesRowsInPiecesFromUnalignedMemoryAndSeveralThreads) {
  std::mt19937 generator(43);
  constexpr int64_t n = 128, k = 77;
  for (const DType dtype : {MOX_F32, MOX_BF16}) {
    const std::vector<float> source = random_floats(generator, n * k);
    std::vector<char> shifted(source.size() * 4 + 1);
    std::memcpy(shifted.data() + 1, source.data(), source.size() * 4);
    const PackedMatrix whole = packed(dtype, source, n, k);
    PackedMatrix pieces(dtype, n, k);
    {
      std::vector<std::jthread> threads;
      for (int64_t panel = 0; panel < 4; ++panel) {
        threads.emplace_back([&, panel] {
          for (int64_t row = panel * 32; row < (panel + 1) * 32;) {
            const int64_t count = std::min((panel + 1) * 32 - row, row % 7 + 1);
            pieces.pack_rows(row, count, shifted.data() + 1 + row * k * 4, MOX_F32, k);
            row += count;
          }
        });
      }
    }
    EXPECT_EQ(std::memcmp(pieces.panel(0), whole.panel(0), whole.bytes()), 0);
  }
}

TEST(PackedMatrixTest, IsAlignedAndZeroed) {
  for (const int64_t n : {32, 2048}) {
    const PackedMatrix matrix(MOX_F32, n, 512);
    const auto address = reinterpret_cast<uintptr_t>(matrix.panel(0));
    EXPECT_EQ(address % (matrix.bytes() >= (size_t{2} << 20) ? size_t{2} << 20 : 64), 0U);
    const float* values = matrix.panel_f32(0);
    for (size_t i = 0; i < matrix.bytes() / 4; ++i) ASSERT_EQ(values[i], 0.0F);
  }
}

void expect_refused(int64_t n, int64_t k, DType dtype, const std::string& part) {
  try {
    const PackedMatrix matrix(dtype, n, k);
    FAIL() << "[" << n << ", " << k << "] was accepted";
  } catch (const Error& error) {
    EXPECT_EQ(error.status(), MOX_INVALID_ARGUMENT);
    EXPECT_THAT(error.what(), HasSubstr(part));
  }
}

TEST(PackedMatrixTest, RefusesSizesThatDoNotFit) {
  constexpr int64_t huge = std::numeric_limits<int64_t>::max();
  expect_refused(-1, 4, MOX_F32, "[-1, 4]");
  expect_refused(4, -1, MOX_F32, "[4, -1]");
  expect_refused(huge, 1, MOX_F32, "too large");
  expect_refused(1, huge, MOX_F32, "too large");
  expect_refused(int64_t{1} << 32, int64_t{1} << 32, MOX_BF16, "larger than the address space");
  expect_refused(int64_t{1} << 31, int64_t{1} << 30, MOX_F32, "larger than the address space");
  expect_refused(1, 1, MOX_F16, "mox_dtype 2");
}

TEST(PackedMatrixTest, RefusesRowsOutsideAndForeignTypes) {
  PackedMatrix matrix(MOX_F32, 40, 2);
  const std::vector<float> source(200);
  EXPECT_THROW(matrix.pack_rows(39, 2, source.data(), MOX_F32, 2), Error);
  EXPECT_THROW(matrix.pack_rows(-1, 1, source.data(), MOX_F32, 2), Error);
  EXPECT_THROW(matrix.pack_rows(0, -1, source.data(), MOX_F32, 2), Error);
  EXPECT_THROW(matrix.pack_rows(1, std::numeric_limits<int64_t>::max(), source.data(), MOX_F32, 2), Error);
  EXPECT_THROW(matrix.pack_rows(0, 1, source.data(), MOX_I8, 2), Error);
  EXPECT_NO_THROW(matrix.pack_rows(40, 0, source.data(), MOX_F32, 2));
}

TEST(PackedMatrixTest, EmptyOnesAreAllowed) {
  EXPECT_TRUE(PackedMatrix().empty());
  const PackedMatrix none(MOX_F32, 0, 5);
  EXPECT_TRUE(none.empty());
  EXPECT_EQ(none.bytes(), 0U);
  EXPECT_EQ(PackedMatrix(MOX_BF16, 7, 0).bytes(), 0U);
}

}  // namespace
}  // namespace moxie::kernels::test
