#include "kernels/portable/portable.h"

#include <utility>

#include "kernels/entries.h"

namespace moxie::kernels::portable {
namespace {

constexpr int lanes = 4;
constexpr int registers = 16;
using Floats = float __attribute__((vector_size(lanes * 4)));

// a * b + c
inline Floats multiply_add(Floats a, Floats b, Floats c) { return a * b + c; }

}  // namespace

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
