// Blocks of weights made compact (compact_layout.h): the words of the plain layout come in.

namespace {

// What the codes of a block stand for: signs in the upper half of them, and of the other seven bits a run of eight
// successive values, or zero and a run of seven.
struct CodeTable {
  uint8_t upper[16];
  Bytes before, table;
  inline CodeTable(int first, bool zero) {
    const int begin = zero ? first - 1 : first;
    for (int code = 0; code < 8; ++code) {
      upper[code] = static_cast<uint8_t>(zero && code == 0 ? 0 : begin + code);
      upper[code + 8] = upper[code] | 128;
    }
    for (size_t i = 0; i < sizeof before; ++i) before[i] = static_cast<uint8_t>(begin);
    for (size_t i = 0; i < sizeof table; ++i) table[i] = upper[i % 16];
  }
  // What is none of them gets any code.
  [[nodiscard]] inline Bytes codes_of(Bytes uppers) const {
    const Bytes magnitude = uppers & 127;
    Bytes code = magnitude > before ? magnitude - before : Bytes{};
    code = code < 7 ? code : Bytes{} + 7;
    return code | ((Bytes)((Halves)uppers >> 4) & 8);
  }
};

inline bool any(Bytes v) {
  uint64_t parts[sizeof v / 8], all = 0;
  __builtin_memcpy(parts, &v, sizeof v);
  for (const uint64_t part : parts) all |= part;
  return all != 0;
}

// Lists the weights of a group that its codes give wrongly. False where there is no room for them.
bool list_exceptions(const uint32_t* words, const CodeTable& table, int64_t group, CompactHeader* header) {
  const auto* bytes = reinterpret_cast<const uint8_t*>(words);
  for (int place = 0; place < 128; ++place) {
    const uint8_t upper = bytes[place * 2 + 1], magnitude = upper & 127;
    bool found = false;
    for (int code = 0; code < 8; ++code) found = found || table.upper[code] == magnitude;
    if (found) continue;
    if (header->count == most_exceptions) return false;
    header->exceptions[header->count++] = {static_cast<uint8_t>(place), upper};
  }
  header->exceptions[header->count - 1].place |= 128;
  header->groups |= uint64_t{1} << group;
  return true;
}

bool compact_by(const CodeTable& table, const uint32_t* words, int64_t groups, std::byte* block) {
  CompactHeader header = {};
  __builtin_memcpy(header.upper, table.upper, sizeof header.upper);
  for (int64_t g = 0; g < groups; ++g) {
    const uint32_t* group = words + g * 2 * panel_width;
    Bytes wrong = {};
    for (int part = 0; part < vectors_of_half_row; ++part) {
      std::byte* to = block + sizeof header + g * compact_group_bytes + static_cast<size_t>(part) * sizeof(Bytes);
      Bytes codes[2];
      for (int row = 0; row < 2; ++row) {
        Bytes v[2];
        for (int i = 0; i < 2; ++i) {
          __builtin_memcpy(&v[i], group + vector_of_group(part, row * 2 + i) * lanes, sizeof v[i]);
        }
        const Bytes lower = even_bytes(v[0], v[1]);
        const Bytes upper = even_bytes((Bytes)((Halves)v[0] >> 8), (Bytes)((Halves)v[1] >> 8));
        codes[row] = table.codes_of(upper);
        wrong |= upper_bytes(table.table, codes[row]) ^ upper;
        __builtin_memcpy(to + (1 + row) * compact_row_bytes, &lower, sizeof lower);
      }
      const Bytes both = codes[0] | (Bytes)((Halves)codes[1] << 4);
      __builtin_memcpy(to, &both, sizeof both);
    }
    if (any(wrong) && !list_exceptions(group, table, g, &header)) return false;
  }
  __builtin_memcpy(block, &header, sizeof header);
  return true;
}

int largest_magnitude(const uint32_t* words, int64_t groups) {
  Halves largest = {};
  for (int64_t i = 0; i < groups * 2 * panel_width; i += lanes) {
    Halves v;
    __builtin_memcpy(&v, words + i, sizeof v);
    v &= 0x7f00;
    largest = v > largest ? v : largest;
  }
  int result = 0;
  for (int i = 0; i < 2 * lanes; ++i) result = largest[i] > result ? largest[i] : result;
  return result >> 8;
}

// The run of `length` values that most of the block's weights have.
int best_run(const uint32_t* words, int64_t groups, int length, int least) {
  uint32_t counts[128] = {};
  const auto* bytes = reinterpret_cast<const uint8_t*>(words);
  for (int64_t i = 0; i < groups * 128; ++i) ++counts[bytes[i * 2 + 1] & 127];
  int best = least;
  uint32_t most = 0;
  for (int first = least; first + length <= 128; ++first) {
    uint32_t sum = 0;
    for (int i = 0; i < length; ++i) sum += counts[first + i];
    if (sum > most) {
      most = sum;
      best = first;
    }
  }
  return best;
}

}  // namespace

// Most blocks are done with the values below their largest; others have zeros, or a few that are much larger.
bool compact(const uint32_t* words, int64_t groups, std::byte* block) {
  const int largest = largest_magnitude(words, groups);
  const int eight = largest > 7 ? largest - 7 : 0, seven = largest > 7 ? largest - 6 : 1;
  return compact_by(CodeTable(eight, false), words, groups, block) ||
         compact_by(CodeTable(seven, true), words, groups, block) ||
         compact_by(CodeTable(best_run(words, groups, 8, 0), false), words, groups, block) ||
         compact_by(CodeTable(best_run(words, groups, 7, 1), true), words, groups, block);
}

void expand_block(const CompactHeader& block, int64_t k_begin, int64_t k_end, uint32_t* words) {
  expand({&block, k_begin / compact_group_k}, k_end - k_begin, words);
}
