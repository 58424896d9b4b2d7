#include <bit>
#include <cstring>

#include "kernels/reference/reference.h"

namespace moxie::kernels::reference {
namespace {

float widen(const std::byte* source, DType dtype) {
  if (dtype == MOX_F32) {
    float value;
    std::memcpy(&value, source, sizeof value);
    return value;
  }
  uint16_t bits;
  std::memcpy(&bits, source, sizeof bits);
  return dtype == MOX_BF16 ? widen_bfloat16(bits) : widen_float16(bits);
}

}  // namespace

void transpose_rows(const RowsToPack& rows, uint32_t* words) {
  const auto size = static_cast<int64_t>(element_size(rows.source_dtype));
  const int64_t per_word = rows.dtype == MOX_F32 ? 1 : 2;
  for (int64_t r = 0; r < rows.rows; ++r) {
    const std::byte* row = rows.source + r * rows.row_bytes;
    for (int64_t i = 0; i < rows.bytes / size; ++i) {
      uint32_t* word = words + i / per_word * panel_width + r;
      if (rows.dtype == rows.source_dtype && rows.dtype == MOX_F32) {
        std::memcpy(word, row + i * 4, 4);
      } else if (rows.dtype == MOX_F32) {
        *word = std::bit_cast<uint32_t>(widen(row + i * size, rows.source_dtype));
      } else {
        bfloat16 value;
        if (rows.source_dtype == MOX_BF16) {
          std::memcpy(&value, row + i * 2, 2);
        } else {
          value = round_to_bfloat16(widen(row + i * size, rows.source_dtype));
        }
        *word = i % 2 == 0 ? value : *word | static_cast<uint32_t>(value) << 16;
      }
    }
  }
}

}  // namespace moxie::kernels::reference
