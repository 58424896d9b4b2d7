#include "kernels/packing.h"

#include <gmock/gmock.h>

#include "support.h"

namespace moxie::kernels::test {
namespace {

constexpr uint32_t untouched = 0xdeadbeef;

int64_t words_of(const RowsToPack& rows) {
  const int64_t elements = rows.bytes / static_cast<int64_t>(element_size(rows.source_dtype));
  return rows.dtype == MOX_F32 ? elements : (elements + 1) / 2;
}

std::vector<uint32_t> transposed(const Packing& packing, const RowsToPack& rows) {
  std::vector<uint32_t> words(static_cast<size_t>((words_of(rows) + 1) * panel_width), untouched);
  packing.transpose_rows(rows, words.data());
  return words;
}

// Columns of rows that are there; what lies behind the last word too.
void expect_same(const Packing& packing, const RowsToPack& rows) {
  const std::vector<uint32_t> found = transposed(packing, rows), want = transposed(packings().back(), rows);
  const int64_t words = words_of(rows);
  for (int64_t word = 0; word < words; ++word) {
    for (int64_t r = 0; r < rows.rows; ++r) {
      const auto at = static_cast<size_t>(word * panel_width + r);
      ASSERT_EQ(found[at], want[at]) << packing.name << " row " << r << " word " << word << " of " << words << ", "
                                     << dtype_name(rows.source_dtype) << " to " << dtype_name(rows.dtype);
    }
  }
  for (int64_t r = 0; r < panel_width; ++r) {
    ASSERT_EQ(found[static_cast<size_t>(words * panel_width + r)], untouched) << packing.name << " writes too far";
  }
}

TEST(PackingTest, BeginsWithTheWidestAndEndsWithTheReference) {
  EXPECT_STREQ(packings().back().name, "reference");
  EXPECT_EQ(packings().size(), machine_isa() >= MOX_ISA_AVX512 ? 4U : machine_isa() >= MOX_ISA_AVX2 ? 3U : 2U);
  for (const Packing& packing : packings()) EXPECT_LE(packing.isa, machine_isa());
}

// Any bits at all, NaN, subnormal and infinite among them, at odd addresses, whole pieces and rests.
TEST(PackingTest, EveryVariantGivesTheBitsOfTheReference) {
  std::mt19937 generator(51);
  for (const Packing& packing : packings()) {
    for (const DType from : {MOX_F32, MOX_BF16, MOX_F16}) {
      for (const DType to : {MOX_F32, MOX_BF16}) {
        for (const int64_t rows : {1, 3, 4, 8, 15, 16, 17, 31, 32}) {
          for (const int64_t elements : {1, 2, 7, 8, 15, 16, 31, 32, 33, 63, 64, 65, 127, 128}) {
            RowsToPack piece;
            piece.rows = rows;
            piece.bytes = elements * static_cast<int64_t>(element_size(from));
            piece.row_bytes = piece.bytes + random_between(generator, 0, 9);
            piece.source_dtype = from;
            piece.dtype = to;
            // Nothing lies behind the last row: reading too far shows under the address sanitizer.
            std::vector<std::byte> bytes(static_cast<size_t>(1 + (rows - 1) * piece.row_bytes + piece.bytes));
            for (std::byte& byte : bytes) byte = static_cast<std::byte>(generator());
            piece.source = bytes.data() + 1;
            expect_same(packing, piece);
          }
        }
      }
    }
  }
}

// Every pattern of 16 bits, and every upper half of a float32 with the lower halves where rounding turns.
TEST(PackingTest, EveryHalfAndEveryRoundingEdge) {
  constexpr int64_t row = 128;
  std::vector<uint16_t> halves(65536);
  for (size_t i = 0; i < halves.size(); ++i) halves[i] = static_cast<uint16_t>(i);
  std::vector<uint32_t> floats;
  for (uint32_t upper = 0; upper < 65536; ++upper) {
    for (const uint32_t lower : {0x0000U, 0x0001U, 0x7fffU, 0x8000U, 0x8001U, 0xffffU}) {
      floats.push_back(upper << 16 | lower);
    }
  }
  for (const Packing& packing : packings()) {
    const auto check = [&](const void* data, size_t count, DType from, DType to) {
      RowsToPack piece;
      piece.rows = panel_width;
      piece.bytes = piece.row_bytes = row * static_cast<int64_t>(element_size(from));
      piece.source_dtype = from;
      piece.dtype = to;
      for (size_t first = 0; first < count; first += static_cast<size_t>(row * panel_width)) {
        piece.source = static_cast<const std::byte*>(data) + first * element_size(from);
        expect_same(packing, piece);
      }
    };
    for (const DType to : {MOX_F32, MOX_BF16}) {
      check(halves.data(), halves.size(), MOX_F16, to);
      check(halves.data(), halves.size(), MOX_BF16, to);
    }
    check(floats.data(), floats.size(), MOX_F32, MOX_BF16);
  }
}

}  // namespace
}  // namespace moxie::kernels::test
