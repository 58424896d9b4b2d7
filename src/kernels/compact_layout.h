// bfloat16 panels in three quarters of their memory, without loss.
//
// The upper byte of a bfloat16 is its sign and seven bits of its exponent, and of a trained matrix nearly all of these
// lie within a few powers of two: sixteen of the 256 bytes do for a block of 256 k in 32 columns, and a weight takes
// its lower byte and four bits that say which. The few weights whose upper byte is none of the sixteen are listed in
// front of their block. Every weight comes back bit by bit.
#pragma once

#include <cstddef>
#include <cstdint>

namespace moxie::kernels {

// k is padded to a multiple of 32 as in the plain layout. A panel is a sequence of blocks, a block a header of 64 bytes
// and groups of four successive k. A group is 64 bytes of codes and two times 64 lower bytes: of the words of the
// plain layout that hold k and k + 1, and of those that hold k + 2 and k + 3, whose codes are the lower and the upper
// halves of the bytes. Within 64 bytes the order is such that x86's interleaving of the lower halves of each 16 bytes
// with those of the upper bytes makes the first 16 words of the 32, and that of the upper halves the others.
constexpr int64_t compact_block_k = 256;
constexpr int64_t compact_group_k = 4;
constexpr int64_t compact_row_bytes = 64;  // codes, or lower bytes of 32 words
constexpr int64_t compact_group_bytes = 3 * compact_row_bytes;
constexpr int most_exceptions = 18;

struct CompactHeader {
  // A weight of a group that the codes give wrongly.
  struct Exception {
    uint8_t place;  // of the group's 128 weights in the order of the plain layout; 128 more: the last of its group
    uint8_t upper;  // its upper byte
  };
  uint64_t groups;    // bit g: group g of the block has exceptions
  uint8_t upper[16];  // what a code stands for
  uint8_t count;
  uint8_t unused[3];
  Exception exceptions[most_exceptions];  // of all groups, in their order
};
static_assert(sizeof(CompactHeader) == 64);

// Groups that `length` of k takes.
constexpr int64_t compact_groups(int64_t length) { return (length + compact_group_k - 1) / compact_group_k; }

constexpr int64_t compact_block_bytes =
    int64_t{sizeof(CompactHeader)} + compact_groups(compact_block_k) * compact_group_bytes;

// Bytes of a panel of so many k, and how far into it the header of the block is that k lies in.
constexpr int64_t compact_panel_bytes(int64_t padded_k) {
  const int64_t blocks = (padded_k + compact_block_k - 1) / compact_block_k;
  return blocks * int64_t{sizeof(CompactHeader)} + compact_groups(padded_k) * compact_group_bytes;
}
constexpr int64_t compact_block_at(int64_t k) { return k / compact_block_k * compact_block_bytes; }

// Plain words [k / 2][32] from `block`'s k_begin on, a multiple of 4, to k_end, which is rounded up to one. The twin of
// what every instruction set has of its own.
void expand_compact(const CompactHeader& block, int64_t k_begin, int64_t k_end, uint32_t* words);

// One row of the matrix, widened: `length` of k from the block's beginning on.
void read_compact_column(const CompactHeader& block, int64_t column, int64_t length, float* to);

}  // namespace moxie::kernels
