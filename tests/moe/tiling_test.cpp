#include "moe/tiling.h"

#include <gtest/gtest.h>

namespace moxie::moe {
namespace {

TEST(Tiling, TilesOfRowsAreFewAndEven) {
  EXPECT_EQ(tiles_of(0), 0);
  for (int64_t rows = 1; rows <= 3000; ++rows) {
    SCOPED_TRACE(rows);
    const int64_t tiles = tiles_of(rows);
    ASSERT_EQ(tiles, (rows + row_tile - 1) / row_tile);
    int64_t end = 0, shortest = rows, longest = 0;
    for (int64_t i = 0; i < tiles; ++i) {
      const Span tile = tile_of_rows(i, rows);
      ASSERT_EQ(tile.begin, end);
      ASSERT_EQ(tile.begin % 8, 0);
      end = tile.end;
      shortest = std::min(shortest, tile.size());
      longest = std::max(longest, tile.size());
    }
    ASSERT_EQ(end, rows);
    ASSERT_LE(longest, row_tile);
    ASSERT_LT(longest - shortest, 16);
  }
}

}  // namespace
}  // namespace moxie::moe
