// Element types, and the conversions between them that every room needs.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "moxie/types.h"

namespace moxie {

using DType = mox_dtype;

// "float32", "bfloat16", ...; never NULL.
const char* dtype_name(DType dtype);

constexpr size_t element_size(DType dtype) {
  switch (dtype) {
    case MOX_F64:
    case MOX_I64:
      return 8;
    case MOX_F32:
    case MOX_I32:
      return 4;
    case MOX_BF16:
    case MOX_F16:
    case MOX_I16:
      return 2;
    case MOX_I8:
    case MOX_U8:
    case MOX_BOOL:
      return 1;
  }
  return 0;
}

using bfloat16 = uint16_t;  // bit pattern: the upper half of a float32
using float16 = uint16_t;   // bit pattern of IEEE binary16

inline float widen_bfloat16(bfloat16 bits) { return std::bit_cast<float>(static_cast<uint32_t>(bits) << 16); }

// Round to nearest even; a NaN stays a NaN.
inline bfloat16 round_to_bfloat16(float value) {
  const auto bits = std::bit_cast<uint32_t>(value);
  if ((bits & 0x7fffffffU) > 0x7f800000U) return static_cast<bfloat16>((bits >> 16) | 0x40U);
  return static_cast<bfloat16>((bits + 0x7fffU + ((bits >> 16) & 1U)) >> 16);
}

inline float widen_float16(float16 bits) {
  const uint32_t sign = static_cast<uint32_t>(bits & 0x8000U) << 16;
  const uint32_t exponent = (bits >> 10) & 0x1fU;
  const uint32_t mantissa = bits & 0x3ffU;
  if (exponent == 0x1fU) return std::bit_cast<float>(sign | 0x7f800000U | (mantissa << 13));
  if (exponent != 0) return std::bit_cast<float>(sign | ((exponent + 112U) << 23) | (mantissa << 13));
  const float magnitude = static_cast<float>(mantissa) * 0x1p-24F;  // subnormal, exact in float32
  return sign != 0 ? -magnitude : magnitude;
}

}  // namespace moxie
