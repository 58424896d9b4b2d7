#include "kernels/amx/amx.h"

#include "kernels/amx/tile_matmul.h"
#include "kernels/avx512/avx512.h"
#include "kernels/entries.h"
#include "kernels/portable/portable.h"

namespace moxie::kernels {

namespace amx {
namespace {

void matmul_bf16(const Matmul& m) { tile_matmul<HardwareTiles>(m); }
void emulated_matmul_bf16(const Matmul& m) { tile_matmul<EmulatedTiles>(m); }

// A small product by the instructions and by their emulation: whether they agree.
bool tiles_work() {
  constexpr int64_t n = 40, k = 70, rows = 37, ld = 96, columns = 64;
  PackedMatrix w(MOX_BF16, n, k);
  float values[n * k];
  for (int64_t i = 0; i < n * k; ++i) values[i] = static_cast<float>(i * 37 % 61) / 64 - 0.5F;
  w.pack_rows(0, n, values, MOX_F32, k);
  bfloat16 a[rows * ld] = {};
  for (int64_t row = 0; row < rows; ++row) {
    for (int64_t i = 0; i < k; ++i) a[row * ld + i] = round_to_bfloat16(static_cast<float>((row + i) * 29 % 53) / 64);
  }
  float by_instructions[rows * columns] = {};
  float by_emulation[rows * columns] = {};
  Matmul m;
  m.a = a;
  m.lda = ld;
  m.rows = rows;
  m.w = &w;
  m.panel_end = w.panels();
  m.k_end = k;
  m.ldc = columns;
  m.c = by_emulation;
  emulated_matmul_bf16(m);
  m.c = by_instructions;
  matmul_bf16(m);
  for (int64_t i = 0; i < rows * columns; ++i) {
    const float difference = by_instructions[i] - by_emulation[i];
    if (!(difference < 1e-3F && difference > -1e-3F)) return false;
  }
  return true;
}

}  // namespace

const char* refusal() {
  static const bool work = tiles_work();
  return work ? "" : "its tiles do not compute what their emulation does";
}

}  // namespace amx

namespace entries {

constinit const Kernels amx = {.name = "amx",
                               .backend = MOX_BACKEND_NATIVE,
                               .isa = MOX_ISA_AMX,
                               .matmul_f32 = kernels::avx512::matmul_f32,
                               .matmul_bf16 = kernels::amx::matmul_bf16,
                               .lora_shrink = kernels::avx512::lora_shrink,
                               .lora_expand = kernels::avx512::lora_expand,
                               .router = kernels::avx512::router,
                               .activate = kernels::avx512::activate,
                               .softmax = kernels::avx512::softmax,
                               .rms_norm = kernels::avx512::rms_norm,
                               .attend = kernels::avx512::attend,
                               .attend_segment = kernels::avx512::attend_segment,
                               .join_segments = kernels::avx512::join_segments,
                               .to_bfloat16 = kernels::avx512::to_bfloat16};

// Not in the table: the tests run the tile kernel's body by it on machines without tiles.
constinit const Kernels amx_emulated = {.name = "amx_emulated",
                                        .backend = MOX_BACKEND_NATIVE,
                                        .isa = MOX_ISA_PORTABLE,
                                        .matmul_f32 = kernels::portable::matmul_f32,
                                        .matmul_bf16 = kernels::amx::emulated_matmul_bf16,
                                        .lora_shrink = kernels::portable::lora_shrink,
                                        .lora_expand = kernels::portable::lora_expand,
                                        .router = kernels::portable::router,
                                        .activate = kernels::portable::activate,
                                        .softmax = kernels::portable::softmax,
                                        .rms_norm = kernels::portable::rms_norm,
                                        .attend = kernels::portable::attend,
                                        .attend_segment = kernels::portable::attend_segment,
                                        .join_segments = kernels::portable::join_segments,
                                        .to_bfloat16 = kernels::portable::to_bfloat16};

}  // namespace entries
}  // namespace moxie::kernels
