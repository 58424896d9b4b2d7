// The arithmetic of one instruction set, over the vectors it has. The file that includes this has opened the
// namespace of its instruction set, defined `lanes`, `registers`, multiply_add() and times_power_of_two(), and is
// compiled with its flags.

// Each file builds on those before it.
// clang-format off
#include "kernels/body/vectors.inl"
#include "kernels/body/several.inl"
#include "kernels/body/math.inl"
#include "kernels/body/elementwise.inl"
#include "kernels/body/router.inl"
#include "kernels/body/tile.inl"
#include "kernels/body/chunks.inl"
#include "kernels/body/streams.inl"
#include "kernels/body/compact.inl"
#include "kernels/body/compact_expand.inl"
#include "kernels/body/compact_tile.inl"
#include "kernels/body/matmul.inl"
#include "kernels/body/matmul_compact.inl"
#include "kernels/body/matmul_widened.inl"
#include "kernels/body/lora.inl"
#include "kernels/body/lora_norms.inl"
#include "kernels/body/attend_products.inl"
#include "kernels/body/attend_weights.inl"
#include "kernels/body/attend.inl"
#include "kernels/body/pack.inl"
#include "kernels/body/pack_compact.inl"
// clang-format on

void matmul_f32(const Matmul& m) { multiply<Float32Product>(m, floats_at); }
