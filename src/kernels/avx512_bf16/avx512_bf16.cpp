#include <immintrin.h>

#include <type_traits>
#include <utility>

#include "kernels/avx512/avx512.h"
#include "kernels/entries.h"

namespace moxie::kernels::avx512_bf16 {
namespace {

constexpr int lanes = 16;
constexpr int registers = 32;
using Floats = float __attribute__((vector_size(lanes * 4)));

inline Floats multiply_add(Floats a, Floats b, Floats c) { return _mm512_fmadd_ps(a, b, c); }

}  // namespace

#include "kernels/avx512/bytes.inl"

// Each file builds on those before it.
// clang-format off
#include "kernels/body/vectors.inl"
#include "kernels/body/tile.inl"
#include "kernels/body/chunks.inl"
#include "kernels/body/streams.inl"
#include "kernels/body/compact.inl"
#include "kernels/body/compact_tile.inl"
#include "kernels/body/matmul.inl"
#include "kernels/body/matmul_compact.inl"
// clang-format on

namespace {

// VDPBF16PS: both products of a pair are added to the sum by one instruction.
struct PairProduct {
  using Element = bfloat16;
  using Word = uint32_t;
  using At = const uint32_t*;
  using Activation = __m512i;
  using Weight = __m512i;
  static constexpr int64_t step = 2;
  static constexpr int locality = 3;
  static constexpr bool few_rows_ask = false;
  static inline Activation activation(const bfloat16* a) {
    int32_t pair;
    __builtin_memcpy(&pair, a, sizeof pair);
    return _mm512_set1_epi32(pair);
  }
  static inline Weight of_words(Unsigned words) { return (Weight)words; }
  static inline Weight weight(const uint32_t* w) { return _mm512_loadu_si512(w); }
  static inline Floats add(Floats sum, Activation a, Weight w) {
    return _mm512_dpbf16_ps(sum, reinterpret_cast<__m512bh>(a), reinterpret_cast<__m512bh>(w));
  }
};

}  // namespace

void matmul_bf16(const Matmul& m) {
  if (m.w->is_compact()) return multiply_compact<PairProduct>(m);
  multiply<PairProduct>(m, pairs_at);
}

}  // namespace moxie::kernels::avx512_bf16

namespace moxie::kernels::entries {

constinit const Kernels avx512_bf16 = {.name = "avx512_bf16",
                                       .backend = MOX_BACKEND_NATIVE,
                                       .isa = MOX_ISA_AVX512_BF16,
                                       .matmul_f32 = kernels::avx512::matmul_f32,
                                       .matmul_bf16 = kernels::avx512_bf16::matmul_bf16,
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
