// Blocks of compact weights expanded into memory.

namespace {

// `length` of k, all in one block, rounded up to whole groups: part by part to store(group, part, words), then
// exceptions to put(group).
template <class Store, class Put>
inline void expand(CompactAt at, int64_t length, Store store, Put put) {
  const Bytes table = repeat(at.block->upper);
  const std::byte* from = at.bytes();
  const int64_t groups = compact_groups(length);
  for (int64_t g = 0; g < groups; ++g) {
#pragma GCC unroll 4
    for (int part = 0; part < vectors_of_half_row; ++part) {
      Unsigned words[vectors_of_part];
      expand_part(from + g * compact_group_bytes, table, part, words);
      store(g, part, words);
    }
  }
  uint64_t excepted = at.block->groups >> at.group;
  if (groups < 64) excepted &= (uint64_t{1} << groups) - 1;
  for (; excepted != 0; excepted &= excepted - 1) put(__builtin_ctzll(excepted));
}

// In one piece, and with a copy of `words`: else the pointer is read from memory again after each store.
[[gnu::flatten]] void expand(CompactAt at, int64_t length, uint32_t* words) {
  constexpr int64_t group_words = 2 * panel_width;
  expand(
      at, length,
      [words](int64_t g, int part, const Unsigned* from) {
#pragma GCC unroll 4
        for (int i = 0; i < vectors_of_part; ++i) {
          __builtin_memcpy(words + g * group_words + vector_of_group(part, i) * lanes, from + i, sizeof *from);
        }
      },
      [&](int64_t g) { put_exceptions(*at.block, at.group + g, words + g * group_words); });
}

}  // namespace
