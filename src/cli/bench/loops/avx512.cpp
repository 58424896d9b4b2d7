#include <immintrin.h>

#include "cli/bench/loops/multiply.inl"
#include "cli/bench/loops/read.inl"

namespace moxie::cli::bench::loops {
namespace {

struct Vectors {
  using Sum = __m512;
  using Operand = __m512;
  using Activation = float;
  static constexpr int rows = 12, columns = 2;
  static constexpr double operations = 2 * 16;
  static constexpr float some_activation = 0.75F;
  static Sum zero() { return _mm512_setzero_ps(); }
  static Operand spread(float value) { return _mm512_set1_ps(value); }
  static Operand load(const char* from) { return _mm512_load_ps(from); }
  static Sum multiply_add(Sum sum, Operand a, Operand w) { return _mm512_fmadd_ps(a, w, sum); }
};

struct Load {
  using Register = __m512i;
  static Register load(const char* from) { return _mm512_load_si512(from); }
  static Register add(Register sum, Register value) { return _mm512_add_epi64(sum, value); }
};

}  // namespace

constinit const Multiplier avx512 = multiplier_of<Vectors>("avx512 fma", MOX_ISA_AVX512, MOX_F32);
constinit const Readers avx512_readers = readers_of<Load>(MOX_ISA_AVX512);

}  // namespace moxie::cli::bench::loops
