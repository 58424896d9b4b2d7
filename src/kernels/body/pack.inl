// Rows into words, and words transposed: packing for one instruction set. Whole numbers only, so that every instruction
// set gives the same bits: the conversion instructions of the processor quiet signalling NaN and may flush what is
// subnormal.

namespace {

using Words = Unsigned;

inline Words load_words(const std::byte* from) {
  Words v;
  __builtin_memcpy(&v, from, sizeof v);
  return v;
}

inline Words load_halves(const std::byte* from) {
  Shorts v;
  __builtin_memcpy(&v, from, sizeof v);
  return __builtin_convertvector(v, Words);
}

// Lane `lane` of the result is lane Pattern::of(lane) of a and b side by side.
template <class Pattern, int... Lane>
inline Words shuffle(Words a, Words b, std::integer_sequence<int, Lane...>) {
  const Words pattern = {static_cast<uint32_t>(Pattern::of(Lane))...};
  return __builtin_shuffle(a, b, pattern);
}
template <class Pattern>
inline Words shuffle(Words a, Words b) {
  return shuffle<Pattern>(a, b, std::make_integer_sequence<int, lanes>());
}

// Neighbours of `Width` lanes of a and b in turn, from the lower (First = 0) or upper half of each four lanes: what x86
// has instructions for.
template <int Width, int First>
struct Interleaved {
  static constexpr int of(int lane) {
    const int four = lane / 4 * 4, within = lane % 4;
    return four + First * 2 + within / (2 * Width) * Width + within % Width + (within / Width % 2) * lanes;
  }
};

// The even or odd lanes of both.
template <int First>
struct EverySecond {
  static constexpr int of(int lane) { return lane * 2 + First; }
};

// The off-diagonal blocks of Distance lanes change places.
template <int Distance, bool Upper>
struct Exchanged {
  static constexpr int of(int lane) {
    if constexpr (Upper) return (lane & Distance) == 0 ? lane + Distance : lanes + lane;
    return (lane & Distance) == 0 ? lane : lanes + lane - Distance;
  }
};

template <int Distance>
inline void exchange_blocks(Words* rows) {
#pragma GCC unroll 16
  for (int i = 0; i < lanes; ++i) {
    if ((i & Distance) != 0) continue;
    const Words a = rows[i], b = rows[i + Distance];
    rows[i] = shuffle<Exchanged<Distance, false>>(a, b);
    rows[i + Distance] = shuffle<Exchanged<Distance, true>>(a, b);
  }
}

// rows[i][j] <-> rows[j][i]: first within blocks of four, then the blocks.
inline void transpose(Words* rows) {
#pragma GCC unroll 4
  for (int i = 0; i < lanes; i += 4) {
    const Words low0 = shuffle<Interleaved<1, 0>>(rows[i], rows[i + 1]);
    const Words high0 = shuffle<Interleaved<1, 1>>(rows[i], rows[i + 1]);
    const Words low1 = shuffle<Interleaved<1, 0>>(rows[i + 2], rows[i + 3]);
    const Words high1 = shuffle<Interleaved<1, 1>>(rows[i + 2], rows[i + 3]);
    rows[i] = shuffle<Interleaved<2, 0>>(low0, low1);
    rows[i + 1] = shuffle<Interleaved<2, 1>>(low0, low1);
    rows[i + 2] = shuffle<Interleaved<2, 0>>(high0, high1);
    rows[i + 3] = shuffle<Interleaved<2, 1>>(high0, high1);
  }
  if constexpr (lanes > 4) exchange_blocks<4>(rows);
  if constexpr (lanes > 8) exchange_blocks<8>(rows);
}

// Round to nearest even, a NaN stays a NaN; the result in the upper half, anything below.
inline Words rounded(Words bits) {
  const Words up = bits + 0x7fffU + ((bits >> 16) & 1U);
  const Floats value = (Floats)bits;
  return value != value ? (bits | 0x400000U) : up;
}

inline Words pair(Words even, Words odd) { return (even >> 16) | (odd & 0xffff0000U); }

inline Words widened_float16(Words half) {
  const Words magnitude = (half & 0x7fffU) << 13;
  const Words sign = (half & 0x8000U) << 16;
  const Words normal = magnitude + (112U << 23);
  const Words infinite = magnitude + (224U << 23);
  const Floats tiny = __builtin_convertvector((Ints)(half & 0x3ffU), Floats) * 0x1p-24F;
  Words result = magnitude < (1U << 23) ? (Words)tiny : normal;
  result = magnitude >= (31U << 23) ? infinite : result;
  return result | sign;
}

// `lanes` words of a packed row, made of what lies at `from`.
struct SameBits {
  static constexpr int64_t bytes_per_word = 4;
  static inline Words take(const std::byte* from) { return load_words(from); }
};
struct Bfloat16ToFloat32 {
  static constexpr int64_t bytes_per_word = 2;
  static inline Words take(const std::byte* from) { return load_halves(from) << 16; }
};
struct Float16ToFloat32 {
  static constexpr int64_t bytes_per_word = 2;
  static inline Words take(const std::byte* from) { return widened_float16(load_halves(from)); }
};
struct Float32ToBfloat16 {
  static constexpr int64_t bytes_per_word = 8;
  static inline Words take(const std::byte* from) {
    const Words a = load_words(from), b = load_words(from + sizeof(Words));
    return pair(rounded(shuffle<EverySecond<0>>(a, b)), rounded(shuffle<EverySecond<1>>(a, b)));
  }
};
struct Float16ToBfloat16 {
  static constexpr int64_t bytes_per_word = 4;
  static inline Words take(const std::byte* from) {
    const Words both = load_words(from);
    return pair(rounded(widened_float16(both & 0xffffU)), rounded(widened_float16(both >> 16)));
  }
};

template <class Source>
inline void transpose_as(const RowsToPack& rows, uint32_t* words) {
  constexpr int64_t step = lanes * Source::bytes_per_word;
  for (int64_t first = 0; first < rows.rows; first += lanes) {
    const int64_t count = rows.rows - first < lanes ? rows.rows - first : lanes;
    const std::byte* source = rows.source + first * rows.row_bytes;
    for (int64_t at = 0; at < rows.bytes; at += step) {
      Words block[lanes];
      if (count == lanes && rows.bytes - at >= step) {
#pragma GCC unroll 16
        for (int r = 0; r < lanes; ++r) {
          // The next piece, into the second cache: the rows' lines fall into the same few sets of the first.
          for (int64_t line = 0; line < step; line += 64) {
            __builtin_prefetch(source + r * rows.row_bytes + at + line + rows.bytes, 0, 2);
          }
          block[r] = Source::take(source + r * rows.row_bytes + at);
        }
      } else {
        const int64_t present = rows.bytes - at < step ? rows.bytes - at : step;
        for (int r = 0; r < lanes; ++r) {
          std::byte part[step] = {};
          if (r < count) __builtin_memcpy(part, source + r * rows.row_bytes + at, static_cast<size_t>(present));
          block[r] = Source::take(part);
        }
      }
      transpose(block);
      const int64_t left = (rows.bytes - at + Source::bytes_per_word - 1) / Source::bytes_per_word;
      uint32_t* to = words + at / Source::bytes_per_word * panel_width + first;
      if (left >= lanes) {
#pragma GCC unroll 16
        for (int w = 0; w < lanes; ++w) __builtin_memcpy(to + w * panel_width, &block[w], sizeof(Words));
      } else {
        for (int64_t w = 0; w < left; ++w) __builtin_memcpy(to + w * panel_width, &block[w], sizeof(Words));
      }
    }
  }
}

}  // namespace

void transpose_rows(const RowsToPack& rows, uint32_t* words) {
  if (rows.source_dtype == rows.dtype) return transpose_as<SameBits>(rows, words);
  if (rows.dtype == MOX_F32) {
    if (rows.source_dtype == MOX_BF16) return transpose_as<Bfloat16ToFloat32>(rows, words);
    return transpose_as<Float16ToFloat32>(rows, words);
  }
  if (rows.source_dtype == MOX_F32) return transpose_as<Float32ToBfloat16>(rows, words);
  transpose_as<Float16ToBfloat16>(rows, words);
}
