#include <immintrin.h>

#include "cli/bench/loops/multiply.inl"

namespace moxie::cli::bench::loops {
namespace {

// Each 32-bit place holds two neighbours in k.
struct Vectors {
  using Sum = __m512;
  using Operand = __m512i;
  using Activation = uint32_t;
  static constexpr int rows = 12, columns = 2;
  static constexpr double operations = 2 * 32;
  static constexpr uint32_t some_activation = 0x3F403F40;  // 0.75 twice
  static Sum zero() { return _mm512_setzero_ps(); }
  static Operand spread(uint32_t value) { return _mm512_set1_epi32(static_cast<int>(value)); }
  static Operand load(const char* from) { return _mm512_load_si512(from); }
  static Sum multiply_add(Sum sum, Operand a, Operand w) {
    return _mm512_dpbf16_ps(sum, reinterpret_cast<__m512bh>(a), reinterpret_cast<__m512bh>(w));
  }
};

}  // namespace

constinit const Multiplier avx512_bf16 = multiplier_of<Vectors>("vdpbf16ps", MOX_ISA_AVX512_BF16, MOX_BF16);

}  // namespace moxie::cli::bench::loops
