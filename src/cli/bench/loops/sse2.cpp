// What every x86-64 processor has.
#include <immintrin.h>

#include "cli/bench/loops/multiply.inl"
#include "cli/bench/loops/read.inl"

namespace moxie::cli::bench::loops {
namespace {

struct Vectors {
  using Sum = __m128;
  using Operand = __m128;
  using Activation = float;
  static constexpr int rows = 4, columns = 2;
  static constexpr double operations = 2 * 4;
  static constexpr float some_activation = 0.75F;
  static Sum zero() { return _mm_setzero_ps(); }
  static Operand spread(float value) { return _mm_set1_ps(value); }
  static Operand load(const char* from) { return _mm_load_ps(reinterpret_cast<const float*>(from)); }
  static Sum multiply_add(Sum sum, Operand a, Operand w) { return _mm_add_ps(sum, _mm_mul_ps(a, w)); }
};

struct Load {
  using Register = __m128i;
  static Register load(const char* from) { return _mm_load_si128(reinterpret_cast<const Register*>(from)); }
  static Register add(Register sum, Register value) { return _mm_add_epi64(sum, value); }
};

}  // namespace

constinit const Multiplier sse2 = multiplier_of<Vectors>("sse2 mul, add", MOX_ISA_PORTABLE, MOX_F32);
constinit const Readers sse2_readers = readers_of<Load>(MOX_ISA_PORTABLE);

}  // namespace moxie::cli::bench::loops
