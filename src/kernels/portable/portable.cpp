#include "kernels/portable/portable.h"

#include <emmintrin.h>

#include <type_traits>
#include <utility>

#include "kernels/entries.h"

namespace moxie::kernels::portable {
namespace {

constexpr int lanes = 4;
constexpr int registers = 16;
using Floats = float __attribute__((vector_size(lanes * 4)));

// a * b + c
inline Floats multiply_add(Floats a, Floats b, Floats c) { return a * b + c; }

// What body/compact.inl needs. x86-64 itself has no look-up of bytes.
using Bytes = uint8_t __attribute__((vector_size(16)));

inline Bytes repeat(const uint8_t* sixteen) {
  Bytes v;
  __builtin_memcpy(&v, sixteen, sizeof v);
  return v;
}
inline Bytes upper_bytes(Bytes table, Bytes codes) {
  Bytes result;
  for (int i = 0; i < 16; ++i) result[i] = table[codes[i]];
  return result;
}
inline Bytes interleave_low(Bytes a, Bytes b) { return (Bytes)_mm_unpacklo_epi8((__m128i)a, (__m128i)b); }
inline Bytes interleave_high(Bytes a, Bytes b) { return (Bytes)_mm_unpackhi_epi8((__m128i)a, (__m128i)b); }
inline Bytes even_bytes(Bytes a, Bytes b) {
  return (Bytes)_mm_packus_epi16((__m128i)a & _mm_set1_epi16(0xff), (__m128i)b & _mm_set1_epi16(0xff));
}

}  // namespace

#include "kernels/body/power_of_two.inl"
#include "kernels/vector_body.inl"

}  // namespace moxie::kernels::portable

namespace moxie::kernels::entries {

constinit const Kernels portable = {.name = "portable",
                                    .backend = MOX_BACKEND_NATIVE,
                                    .isa = MOX_ISA_PORTABLE,
                                    .matmul_f32 = kernels::portable::matmul_f32,
                                    .matmul_bf16 = kernels::portable::matmul_bf16,
                                    .lora_shrink = kernels::portable::lora_shrink,
                                    .lora_expand = kernels::portable::lora_expand,
                                    .lora_norms = kernels::portable::lora_norms,
                                    .router = kernels::portable::router,
                                    .activate = kernels::portable::activate,
                                    .add = kernels::portable::add,
                                    .softmax = kernels::portable::softmax,
                                    .rms_norm = kernels::portable::rms_norm,
                                    .attend = kernels::portable::attend,
                                    .attend_segment = kernels::portable::attend_segment,
                                    .join_segments = kernels::portable::join_segments,
                                    .to_bfloat16 = kernels::portable::to_bfloat16};

}  // namespace moxie::kernels::entries
