#include "kernels/avx2/avx2.h"

#include <immintrin.h>

#include <type_traits>
#include <utility>

#include "kernels/entries.h"

namespace moxie::kernels::avx2 {
namespace {

constexpr int lanes = 8;
constexpr int registers = 16;
using Floats = float __attribute__((vector_size(lanes * 4)));

// a * b + c
inline Floats multiply_add(Floats a, Floats b, Floats c) { return _mm256_fmadd_ps(a, b, c); }

// What body/compact.inl needs, within each 16 bytes of a register.
using Bytes = uint8_t __attribute__((vector_size(32)));

inline Bytes repeat(const uint8_t* sixteen) {
  return (Bytes)_mm256_broadcastsi128_si256(_mm_loadu_si128(reinterpret_cast<const __m128i*>(sixteen)));
}
inline Bytes upper_bytes(Bytes table, Bytes codes) {
  return (Bytes)_mm256_shuffle_epi8((__m256i)table, (__m256i)codes);
}
inline Bytes interleave_low(Bytes a, Bytes b) { return (Bytes)_mm256_unpacklo_epi8((__m256i)a, (__m256i)b); }
inline Bytes interleave_high(Bytes a, Bytes b) { return (Bytes)_mm256_unpackhi_epi8((__m256i)a, (__m256i)b); }
inline Bytes even_bytes(Bytes a, Bytes b) {
  return (Bytes)_mm256_packus_epi16((__m256i)a & _mm256_set1_epi16(0xff), (__m256i)b & _mm256_set1_epi16(0xff));
}

}  // namespace

#include "kernels/body/power_of_two.inl"
#include "kernels/vector_body.inl"

}  // namespace moxie::kernels::avx2

namespace moxie::kernels::entries {

constinit const Kernels avx2 = {.name = "avx2",
                                .backend = MOX_BACKEND_NATIVE,
                                .isa = MOX_ISA_AVX2,
                                .matmul_f32 = kernels::avx2::matmul_f32,
                                .matmul_bf16 = kernels::avx2::matmul_bf16,
                                .lora_shrink = kernels::avx2::lora_shrink,
                                .lora_expand = kernels::avx2::lora_expand,
                                .lora_norms = kernels::avx2::lora_norms,
                                .router = kernels::avx2::router,
                                .activate = kernels::avx2::activate,
                                .add = kernels::avx2::add,
                                .softmax = kernels::avx2::softmax,
                                .rms_norm = kernels::avx2::rms_norm,
                                .attend = kernels::avx2::attend,
                                .attend_segment = kernels::avx2::attend_segment,
                                .join_segments = kernels::avx2::join_segments,
                                .to_bfloat16 = kernels::avx2::to_bfloat16};

}  // namespace moxie::kernels::entries
