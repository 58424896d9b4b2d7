// Weights that are kept compact (compact_layout.h), expanded to the words of the plain layout. The file that includes
// the body has defined `Bytes` and what an instruction set can do with them, within each sixteen: repeat(),
// upper_bytes(), interleave_low(), interleave_high() and even_bytes().

namespace {

constexpr int vectors_of_half_row = vectors_per_panel / 2;

using Halves = uint16_t __attribute__((vector_size(sizeof(Bytes))));

inline Bytes load_bytes(const std::byte* from) {
  Bytes v;
  __builtin_memcpy(&v, from, sizeof v);
  return v;
}

inline Bytes lower_codes(Bytes codes) { return codes & 15; }
inline Bytes higher_codes(Bytes codes) { return (Bytes)((Halves)codes >> 4) & 15; }

// What one register of lower bytes gives of the words of four k, but for exceptions: two vectors of the first two k,
// `vectors_of_half_row` apart, and the same of the others.
constexpr int vectors_of_part = 4;
[[gnu::always_inline]] inline void expand_part(const std::byte* group, Bytes table, int part, Unsigned* words) {
  const std::byte* from = group + static_cast<size_t>(part) * sizeof(Bytes);
  const Bytes codes = load_bytes(from);
  const Bytes first = upper_bytes(table, lower_codes(codes)), second = upper_bytes(table, higher_codes(codes));
  const Bytes first_low = load_bytes(from + compact_row_bytes), second_low = load_bytes(from + 2 * compact_row_bytes);
  words[0] = (Unsigned)interleave_low(first_low, first);
  words[1] = (Unsigned)interleave_high(first_low, first);
  words[2] = (Unsigned)interleave_low(second_low, second);
  words[3] = (Unsigned)interleave_high(second_low, second);
}

// Where vector i of a part stands among those of its group.
constexpr int vector_of_group(int part, int i) {
  return i / 2 * vectors_per_panel + part + i % 2 * vectors_of_half_row;
}

// Calls put(place, upper byte) for the exceptions of a group that has some.
template <class Put>
inline void for_exceptions(const CompactHeader& block, int64_t group, Put put) {
  const CompactHeader::Exception* exception = block.exceptions;
  for (int before = __builtin_popcountll(block.groups & ((uint64_t{1} << group) - 1)); before > 0; ++exception) {
    before -= exception->place >> 7;
  }
  for (bool last = false; !last; ++exception) {
    last = exception->place >> 7 != 0;
    put(exception->place & 127, exception->upper);
  }
}

// Puts them into the group's words.
[[gnu::noinline, gnu::cold]] void put_exceptions(const CompactHeader& block, int64_t group, uint32_t* words) {
  for_exceptions(block, group,
                 [&](int place, uint8_t upper) { reinterpret_cast<uint8_t*>(words)[place * 2 + 1] = upper; });
}

// Into a part of them, in registers.
inline void put_exceptions(const CompactHeader& block, int64_t group, int part, Unsigned* words) {
  Unsigned all[2 * vectors_per_panel];
  for (int i = 0; i < vectors_of_part; ++i) all[vector_of_group(part, i)] = words[i];
  put_exceptions(block, group, reinterpret_cast<uint32_t*>(all));
  for (int i = 0; i < vectors_of_part; ++i) words[i] = all[vector_of_group(part, i)];
}

struct CompactAt {
  const CompactHeader* block;
  int64_t group;  // of the block
  [[nodiscard]] inline const std::byte* bytes() const {
    return reinterpret_cast<const std::byte*>(block + 1) + group * compact_group_bytes;
  }
};

// A panel, by its first block.
struct CompactPanel {
  const std::byte* first;
  inline CompactPanel() = default;
  inline CompactPanel(const PackedMatrix& w, int64_t panel)
      : first(reinterpret_cast<const std::byte*>(w.compact_block(panel, 0))) {}
  [[nodiscard]] inline CompactAt at(int64_t k) const {
    const auto of = static_cast<uint64_t>(k);
    return {reinterpret_cast<const CompactHeader*>(first + of / block_length * compact_block_bytes),
            static_cast<int64_t>(of % block_length / compact_group_k)};
  }
  // The first line that is read from k on: a block is read from its header on.
  [[nodiscard]] inline const char* line_at(int64_t k) const {
    const CompactAt found = at(k);
    return found.group == 0 ? reinterpret_cast<const char*>(found.block) : reinterpret_cast<const char*>(found.bytes());
  }
};

}  // namespace
