#include <immintrin.h>

#include "cli/bench/loops/multiply.inl"
#include "cli/bench/loops/read.inl"

namespace moxie::cli::bench::loops {
namespace {

struct Vectors {
  using Sum = __m256;
  using Operand = __m256;
  using Activation = float;
  static constexpr int rows = 4, columns = 3;
  static constexpr double operations = 2 * 8;
  static constexpr float some_activation = 0.75F;
  static Sum zero() { return _mm256_setzero_ps(); }
  static Operand spread(float value) { return _mm256_set1_ps(value); }
  static Operand load(const char* from) { return _mm256_load_ps(reinterpret_cast<const float*>(from)); }
  static Sum multiply_add(Sum sum, Operand a, Operand w) { return _mm256_fmadd_ps(a, w, sum); }
};

struct Load {
  using Register = __m256i;
  static Register load(const char* from) { return _mm256_load_si256(reinterpret_cast<const Register*>(from)); }
  static Register add(Register sum, Register value) { return _mm256_add_epi64(sum, value); }
};

}  // namespace

constinit const Multiplier avx2 = multiplier_of<Vectors>("avx2 fma", MOX_ISA_AVX2, MOX_F32);
constinit const Readers avx2_readers = readers_of<Load>(MOX_ISA_AVX2);

}  // namespace moxie::cli::bench::loops
