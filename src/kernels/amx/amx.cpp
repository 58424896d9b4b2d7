#include "kernels/amx/amx.h"

#include <vector>

#include "kernels/amx/tile_matmul.h"
#include "kernels/avx512/avx512.h"
#include "kernels/entries.h"
#include "kernels/portable/portable.h"

namespace moxie::kernels {

namespace amx {
namespace {

void matmul_bf16(const Matmul& m) { tile_matmul<HardwareTiles>(m); }
void emulated_matmul_bf16(const Matmul& m) { tile_matmul<EmulatedTiles>(m); }

// Small products by the instructions and by their emulation: whether they agree. Along enough k, and in enough rows,
// that sums wait in memory between.
bool tiles_work(Storage storage) {
  constexpr int64_t n = 40, k = 1100, most = 37, ld = 1120, columns = 64;
  PackedMatrix w(MOX_BF16, n, k, storage);
  std::vector<float> values(n * k);
  for (size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(i * 37 % 61) / 64 - 0.5F;
  w.pack_rows(0, n, values.data(), MOX_F32, k);
  std::vector<bfloat16> a(most * ld);
  for (size_t i = 0; i < a.size(); ++i) {
    if (i % ld < k) a[i] = round_to_bfloat16(static_cast<float>(i * 29 % 53) / 64);
  }
  Matmul m;
  m.a = a.data();
  m.lda = ld;
  m.w = &w;
  m.panel_end = w.panels();
  m.k_end = k;
  m.ldc = columns;
  for (const int64_t rows : {int64_t{5}, int64_t{29}, most}) {
    m.rows = rows;
    std::vector<float> by_instructions(most * columns), by_emulation(most * columns);
    m.c = by_emulation.data();
    emulated_matmul_bf16(m);
    m.c = by_instructions.data();
    matmul_bf16(m);
    for (size_t i = 0; i < by_emulation.size(); ++i) {
      const float difference = by_instructions[i] - by_emulation[i];
      if (!(difference < 1e-2F && difference > -1e-2F)) return false;
    }
  }
  return true;
}

}  // namespace

const char* refusal() {
  static const bool work = tiles_work(Storage::kPlain) && tiles_work(Storage::kCompact);
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

// Not in the table: the tests run the tile kernel's body by it on machines without tiles.
constinit const Kernels amx_emulated = {.name = "amx_emulated",
                                        .backend = MOX_BACKEND_NATIVE,
                                        .isa = MOX_ISA_PORTABLE,
                                        .matmul_f32 = kernels::portable::matmul_f32,
                                        .matmul_bf16 = kernels::amx::emulated_matmul_bf16,
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

}  // namespace entries
}  // namespace moxie::kernels
