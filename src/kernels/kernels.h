// The one interface between the rooms above and the arithmetic below.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "kernels/cache_layout.h"
#include "kernels/packed_matrix.h"
#include "moxie/runtime.h"

namespace moxie::kernels {

// Memory that will be read soon.
struct Fetch {
  const void* at = nullptr;
  int64_t bytes = 0;
};

// What a product does for its caller while it runs.
struct Meanwhile {
  // Asked for little by little, in this order, where memory would else have nothing to do. A kernel may leave it out.
  const Fetch* fetches = nullptr;
  int64_t fetch_count = 0;
  // Called between parts of the product, when `done` of `of` equal ones are done and as large a share of the fetches
  // has been asked for. A kernel may call it as seldom as it likes.
  void (*advance)(void* payload, int64_t done, int64_t of) = nullptr;
  void* payload = nullptr;
};

// c[row][j] = sum over k of a[row][k] * w[panel_begin * 32 + j][k], j = 0 .. (panel_end - panel_begin) * 32 - 1.
//
// Bits: an element depends on its row of a and its row of w only. The sum over k runs in blocks of 256 that start at
// multiples of 256: each block is summed by itself, in ascending k, and the block sums are added in ascending order.
// (oneDNN and the tiles of AMX have orders of their own within a range of k; they do not depend on the rows either.)
// Padding columns of the last panel are written too (zeros, or left as they were when accumulating).
struct Matmul {
  const void* a = nullptr;  // float32 for float32 weights, bfloat16 for bfloat16 weights
  int64_t lda = 0;          // elements; bfloat16: rows hold padded_k() elements, zeros behind k
  int64_t rows = 0;
  const PackedMatrix* w = nullptr;
  int64_t panel_begin = 0, panel_end = 0;
  // Part of the sum: k_begin a multiple of 32, k_end too or w->k(). `a` points at column k_begin.
  int64_t k_begin = 0, k_end = 0;
  float* c = nullptr;  // [rows][ldc], ldc >= (panel_end - panel_begin) * 32
  int64_t ldc = 0;
  bool accumulate = false;      // c += instead of c =
  const void* after = nullptr;  // what the caller will multiply by next, where it knows: asked for towards the end
  Meanwhile meanwhile;
};

// Panels of one set's factor, as FactorBank lays them out.
struct FactorPanels {
  const void* first = nullptr;
  DType dtype = MOX_F32;  // or MOX_BF16: values are widened where they are multiplied
  int64_t stride = 0;     // elements from panel to panel
  int64_t count = 0;
};

constexpr int64_t shrink_panel_width = 16;
constexpr int64_t expand_panel_width = panel_width;

// The first product of LoRA: z[i][j] = sum over k of x[i][k] * a[j][k], j over panels of 16 of A. Float32, whatever A
// is kept in. The sum over k runs in blocks of 256 as in Matmul; within a block a kernel may deal the terms to several
// chains. Padding columns of z are written (zeros).
struct LoraShrink {
  const float* x = nullptr;  // points at column k_begin
  int64_t ldx = 0;
  const int32_t* rows_of = nullptr;  // which rows of x; NULL: 0, 1, ...
  int64_t rows = 0;
  FactorPanels a;
  int64_t k_begin = 0, k_end = 0;
  float* z = nullptr;  // [rows][ldz]
  int64_t ldz = 0;
  int64_t part = 0;     // not 0: each so many columns have a z of their own; a divisor of 256, and k_begin a multiple
  int64_t ld_part = 0;  // from z of one part to that of the next
};

// The second: to[i][c] = from[i][c] + sum over j of z[i][j] * b[c][j], c over panels of 32 of B. Float32; the sum in
// ascending j, then added. `to` may be `from`, with the same rows.
struct LoraExpand {
  const float* z = nullptr;  // [rows][ldz]
  int64_t ldz = 0;
  int64_t rows = 0;
  int64_t rank = 0;
  FactorPanels b;
  const float* from = nullptr;  // points at column 0 of the first panel, as `to` does; NULL: zero
  int64_t ld_from = 0;
  const int32_t* from_rows = nullptr;  // which rows of `from`; NULL: 0, 1, ...
  float* to = nullptr;
  int64_t ld_to = 0;
  const int32_t* to_rows = nullptr;
  int32_t first_row = 0;  // what both count from
};

// The norms DoRA divides by: norms[r] = | w[r] + scaling * sum over j of b[r][j] * a[j] |, all in double, j ascending,
// squares summed in 8 lanes and a fixed tree: the same bits on every level.
struct LoraNorms {
  const float* w = nullptr;  // [rows][in]
  int64_t rows = 0, in = 0;
  const float* a = nullptr;  // [rank][in]
  const float* b = nullptr;  // [rows][rank]
  int64_t rank = 0;
  double scaling = 1;
  double* norms = nullptr;  // [rows]
};

// Attention of consecutive rows of one sequence in the query heads that share a kv head.
//
// Row r stands at position first + r and sees itself and those before it, at most `window` in all (0: no limit).
//
// Bits: a row's result depends on its query and on keys and values of the positions it sees. Products run in ascending
// dimension, sums over positions in ascending order by segments (cache_layout.h) that are added in ascending order;
// within a segment the largest score so far is known block by block. Nothing beyond what a row sees is multiplied,
// however many rows a call holds.
struct Attend {
  const float* query = nullptr;  // [rows][group][head_dim]
  int64_t rows = 0, group = 0, head_dim = 0;
  float scale = 1;
  int64_t first = 0;
  int64_t window = 0;
  DType dtype = MOX_F32;                     // of keys and values
  const std::byte* const* blocks = nullptr;  // of the sequence, by position / cache_block
  int64_t key_offset = 0, value_offset = 0;  // bytes from a block's start to this head's, as cache_layout.h has them
  float* output = nullptr;                   // [rows][ldo]: heads of the group side by side
  int64_t ldo = 0;
};

// The segments that any row of the call sees something of.
struct Segments {
  int64_t begin, end;
};
Segments segments_of(const Attend& a);

// What attention over one segment leaves of one query: sums of weights in 16 lanes, the largest score (16 floats, of
// which the first counts), and the weighted values.
int64_t attend_state(int64_t head_dim);

// One row of the table: everything the layers need of the arithmetic. Entries are static and immutable. Any number of
// threads may call them at once. Only oneDNN's products throw (Error, MOX_INTERNAL).
struct Kernels {
  const char* name;  // "avx512", "onednn", ...
  mox_backend backend;
  mox_isa isa;  // level it needs

  void (*matmul_f32)(const Matmul&);
  void (*matmul_bf16)(const Matmul&);

  void (*lora_shrink)(const LoraShrink&);
  void (*lora_expand)(const LoraExpand&);
  void (*lora_norms)(const LoraNorms&);

  // logits[row * ld + e] = gate[e] . x[row], float32, each product summed in 16 lanes and a fixed tree.
  // gate [experts, k] row-major with row stride gate_stride.
  void (*router)(const float* x, int64_t ldx, int64_t rows, const float* gate, int64_t gate_stride, int64_t experts,
                 int64_t k, float* logits, int64_t ld);

  // h[i] (+)= weight * act(gate[i]) * up[i]; up NULL: plain. accumulate: add to h. h may be gate or up. Like softmax
  // and rms_norm, the same bits on every native level. MOX_ACTIVATION_BASE is not an activation: settled before.
  void (*activate)(mox_activation activation, const float* gate, const float* up, float weight, int64_t count, float* h,
                   bool accumulate);

  // sum[i] = a[i] + b[i]; sum may be a or b.
  void (*add)(const float* a, const float* b, int64_t count, float* sum);

  void (*softmax)(const float* x, int64_t count, float* probabilities);
  void (*rms_norm)(const float* x, const float* weight, double epsilon, int64_t count, float* y);

  // All of it. scratch: 2 * rows * group states, aligned to 64 bytes.
  void (*attend)(const Attend&, float* scratch);
  // The same in parts, to the same bits: one segment into states [rows][group], and the states of all segments,
  // [segments][rows][group] from segments_of().begin on, into the output. A query that sees nothing of a segment leaves
  // its state there as it is.
  void (*attend_segment)(const Attend&, int64_t segment, float* states);
  void (*join_segments)(const Attend&, float* states);

  void (*to_bfloat16)(const float* x, int64_t count, bfloat16* y);
};

// A kernel set as the runtime chose it.
struct Choice {
  const Kernels* f32 = nullptr;    // whose matmul serves float32 weights
  const Kernels* bf16 = nullptr;   // whose matmul serves bfloat16 weights
  const Kernels* small = nullptr;  // everything else
};

struct TableEntry {
  const Kernels* kernels;
  std::string skipped_because;  // "" where it can be used
};

// Best to reference. `isa_limit` MOX_ISA_BEST: the machine's level, or one below it that is quicker.
std::vector<TableEntry> table(mox_isa isa_limit, mox_backend backend);

// The level that the limit comes to here. Error where the machine lacks it.
mox_isa level_in_use(mox_isa isa_limit);

// The first usable entries for the request; Error naming what this machine or build lacks.
Choice choose(mox_isa isa_limit, mox_backend backend);

// "native,onednn,eigen,reference"
std::string backends_in_build();

}  // namespace moxie::kernels
