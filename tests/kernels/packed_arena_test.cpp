#include "kernels/packed_arena.h"

#include <gmock/gmock.h>

#include "runtime/error.h"
#include "runtime/huge_memory.h"
#include "support.h"

namespace moxie::kernels::test {
namespace {

TEST(PackedArenaTest, HoldsTheSameBitsSideBySide) {
  std::mt19937 generator(61);
  const std::vector<float> first = random_floats(generator, 70 * 33), second = random_floats(generator, 2048 * 512);
  PackedMatrix a, b;
  PackedArena arena;
  arena.add(&a, MOX_F32, 70, 33);
  arena.add(&b, MOX_BF16, 2048, 512);
  ASSERT_EQ(arena.sections().size(), 2U);
  EXPECT_EQ(arena.sections()[1].offset, 24576U);  // 96 x 64 floats, then the next multiple of 4096
  EXPECT_EQ(arena.bytes(), 24576U + 2048 * 512 * 2);
  auto memory = huge_memory(arena.bytes());
  arena.bind(memory);
  const std::byte* base = memory.get();
  memory.reset();  // the matrices keep it
  EXPECT_EQ(a.panel(0), base);
  EXPECT_EQ(b.panel(0), base + 24576);
  a.pack_rows(0, 70, first.data(), MOX_F32, 33);
  b.pack_rows(0, 2048, second.data(), MOX_F32, 512);
  EXPECT_EQ(std::memcmp(a.panel(0), packed(MOX_F32, first, 70, 33).panel(0), a.bytes()), 0);
  a = PackedMatrix();
  EXPECT_EQ(std::memcmp(b.panel(0), packed(MOX_BF16, second, 2048, 512).panel(0), b.bytes()), 0);
}

TEST(PackedArenaTest, MemoryThatIsOnlyToBeReadIsNotWritten) {
  PackedMatrix a;
  PackedArena arena;
  arena.add(&a, MOX_F32, 2, 2);
  arena.bind(std::shared_ptr<const std::byte>(huge_memory(arena.bytes())));
  const std::vector<float> rows(4, 1.0F);
  EXPECT_THROW(a.pack_rows(0, 2, rows.data(), MOX_F32, 2), Error);
  std::vector<float> row(2, 5.0F);
  a.read_row(1, row.data());
  EXPECT_EQ(row, (std::vector<float>{0, 0}));
}

TEST(PackedArenaTest, RefusesWhatIsNoMatrix) {
  PackedMatrix a;
  PackedArena arena;
  EXPECT_THROW(arena.add(&a, MOX_F16, 2, 2), Error);
  EXPECT_THROW(arena.add(&a, MOX_F32, -2, 2), Error);
  arena.add(&a, MOX_F32, 0, 2);
  EXPECT_EQ(arena.bytes(), 0U);
}

}  // namespace
}  // namespace moxie::kernels::test
