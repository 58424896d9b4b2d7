// Vectors of `lanes` floats as the compiler knows them. The file that includes the body has defined `lanes`,
// `registers` and multiply_add(). Everything has internal linkage, and nothing of a shared header that could be
// emitted out of line is used: the linker keeps one copy of such a function, and it might keep this instruction set's.

namespace {

using Floats = float __attribute__((vector_size(lanes * 4)));
using Ints = int32_t __attribute__((vector_size(lanes * 4)));
using Unsigned = uint32_t __attribute__((vector_size(lanes * 4)));
using Shorts = uint16_t __attribute__((vector_size(lanes * 2)));

inline Floats load(const float* from) {
  Floats v;
  __builtin_memcpy(&v, from, sizeof v);
  return v;
}

// bfloat16, widened.
inline Floats load(const bfloat16* from) {
  Shorts v;
  __builtin_memcpy(&v, from, sizeof v);
  return (Floats)(__builtin_convertvector(v, Unsigned) << 16);
}

inline void store(float* to, Floats v) { __builtin_memcpy(to, &v, sizeof v); }

inline Floats broadcast(float value) { return value - Floats{}; }

// The first `count` floats, the rest `fill`.
inline Floats load_part(const float* from, int64_t count, float fill) {
  float buffer[lanes];
  for (int i = 0; i < lanes; ++i) buffer[i] = i < count ? from[i] : fill;
  return load(buffer);
}

inline void store_part(float* to, int64_t count, Floats v) {
  float buffer[lanes];
  store(buffer, v);
  for (int64_t i = 0; i < count; ++i) to[i] = buffer[i];
}

inline Floats as_floats(Ints v) { return (Floats)v; }
inline Ints as_ints(Floats v) { return (Ints)v; }
// b where one is a NaN: the compiler knows the instructions by just these forms.
inline Floats larger(Floats a, Floats b) { return a > b ? a : b; }
inline Floats smaller(Floats a, Floats b) { return a < b ? a : b; }

// Sixteen lanes, whatever the width of a register: sums over them come out the same on every instruction set as long
// as products are rounded before they are added, so no multiply_add here.
constexpr int sixteen = 16;
constexpr int vectors_of_sixteen = sixteen / lanes;

struct Sixteen {
  Floats part[vectors_of_sixteen] = {};

  inline void add_products(const float* a, const float* b) {
#pragma GCC unroll 8
    for (int i = 0; i < vectors_of_sixteen; ++i) part[i] += load(a + i * lanes) * load(b + i * lanes);
  }

  inline void read(const float* from) {
    for (int i = 0; i < vectors_of_sixteen; ++i) part[i] = load(from + i * lanes);
  }
  inline void write(float* to) const {
    for (int i = 0; i < vectors_of_sixteen; ++i) store(to + i * lanes, part[i]);
  }

  // The halves are added until as many lanes are left as a register has.
  [[nodiscard]] inline Floats folded() const {
    Floats sum[vectors_of_sixteen];
    for (int i = 0; i < vectors_of_sixteen; ++i) sum[i] = part[i];
    for (int width = vectors_of_sixteen / 2; width > 0; width /= 2) {
      for (int i = 0; i < width; ++i) sum[i] += sum[i + width];
    }
    return sum[0];
  }

  // The halves are added until one lane is left.
  [[nodiscard]] inline float total() const {
    float sum[sixteen];
    for (int i = 0; i < vectors_of_sixteen; ++i) store(sum + i * lanes, part[i]);
    for (int width = sixteen / 2; width > 0; width /= 2) {
      for (int i = 0; i < width; ++i) sum[i] += sum[i + width];
    }
    return sum[0];
  }
};

// Two registers that hold groups of 2 * half lanes, a's before b's: each group's halves added.
template <int half, int... lane>
inline Floats add_halves(Floats a, Floats b, std::integer_sequence<int, lane...>) {
  const Floats low = __builtin_shuffle(a, b, Ints{(lane / half * 2 * half + lane % half)...});
  const Floats high = __builtin_shuffle(a, b, Ints{(lane / half * 2 * half + lane % half + half)...});
  return low + high;
}

// `count` Sixteens that stand side by side in memory, each folded to lanes / count lanes.
template <int count>
inline Floats fold(const float* sums) {
  if constexpr (count == 1) {
    Sixteen sum;
    sum.read(sums);
    return sum.folded();
  } else {
    constexpr int half = lanes / count;
    return add_halves<half>(fold<count / 2>(sums), fold<count / 2>(sums + count / 2 * sixteen),
                            std::make_integer_sequence<int, lanes>());
  }
}

// total() of `lanes` Sixteens at once.
inline Floats totals(const float* sums) { return fold<lanes>(sums); }

// The rest of a row shorter than sixteen, filled up with zeros.
struct Rest {
  float values[sixteen] = {};
  inline Rest(const float* from, int64_t count) {
    for (int64_t i = 0; i < count; ++i) values[i] = from[i];
  }
};

}  // namespace
