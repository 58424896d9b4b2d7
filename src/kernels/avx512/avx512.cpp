#include "kernels/avx512/avx512.h"

#include <immintrin.h>

#include <type_traits>
#include <utility>

#include "kernels/entries.h"

namespace moxie::kernels::avx512 {
namespace {

constexpr int lanes = 16;
constexpr int registers = 32;
using Floats = float __attribute__((vector_size(lanes * 4)));

// a * b + c
inline Floats multiply_add(Floats a, Floats b, Floats c) { return _mm512_fmadd_ps(a, b, c); }

// v * 2^n, n whole. As in bytes.inl, the mask only keeps the compiler from speaking of an uninitialised operand.
inline Floats times_power_of_two(Floats v, Floats n) { return _mm512_maskz_scalef_ps(0xffff, v, n); }

}  // namespace

#include "kernels/avx512/bytes.inl"
#include "kernels/vector_body.inl"

}  // namespace moxie::kernels::avx512

namespace moxie::kernels::entries {

constinit const Kernels avx512 = {.name = "avx512",
                                  .backend = MOX_BACKEND_NATIVE,
                                  .isa = MOX_ISA_AVX512,
                                  .matmul_f32 = kernels::avx512::matmul_f32,
                                  .matmul_bf16 = kernels::avx512::matmul_bf16,
                                  .lora_shrink = kernels::avx512::lora_shrink,
                                  .lora_expand = kernels::avx512::lora_expand,
                                  .lora_norms = kernels::avx512::lora_norms,
                                  .router = kernels::avx512::router,
                                  .activate = kernels::avx512::activate,
                                  .add = kernels::avx512::add,
                                  .softmax = kernels::avx512::softmax,
                                  .rms_norm = kernels::avx512::rms_norm,
                                  .attend = kernels::avx512::attend,
                                  .attend_segment = kernels::avx512::attend_segment,
                                  .join_segments = kernels::avx512::join_segments,
                                  .to_bfloat16 = kernels::avx512::to_bfloat16};

}  // namespace moxie::kernels::entries
