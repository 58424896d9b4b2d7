// Turning rows of weights into the words of a panel: one variant for each vector width, all giving the same bits.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "kernels/compact_layout.h"
#include "moxie/runtime.h"
#include "runtime/dtype.h"

namespace moxie::kernels {

// A piece of up to 32 successive rows. A word of a packed row is 32 bits: one float32, or two bfloat16 neighbours in k.
struct RowsToPack {
  const std::byte* source = nullptr;  // any alignment
  int64_t row_bytes = 0;              // from row to row
  int64_t rows = 0;                   // 1 .. 32
  int64_t bytes = 0;                  // of the piece in each row; whole elements
  DType source_dtype = MOX_F32;       // float32, bfloat16 or float16
  DType dtype = MOX_F32;              // float32 or bfloat16
};

struct Packing {
  const char* name;
  mox_isa isa;  // level it needs

  // words[word][32]: column r of each is row r's; columns from `rows` on may be written too. bfloat16 rounds to nearest
  // even, a NaN stays a NaN. Where the elements are odd in number, the last half word is zero.
  void (*transpose_rows)(const RowsToPack& rows, uint32_t* words);

  // A compact block of so many groups, at most 64, of the plain words [groups * 2][32]; false where it has too many
  // exceptions.
  bool (*compact)(const uint32_t* words, int64_t groups, std::byte* block);

  // And back: expand_compact().
  void (*expand)(const CompactHeader& block, int64_t k_begin, int64_t k_end, uint32_t* words);
};

// Those this machine can run, best first; the last is the reference twin: plain loops.
const std::vector<Packing>& packings();

}  // namespace moxie::kernels
