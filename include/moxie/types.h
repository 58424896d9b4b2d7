/* Element types and matrices in the caller's memory. */
#ifndef MOXIE_TYPES_H
#define MOXIE_TYPES_H

#include <stddef.h>
#include <stdint.h>

#include "moxie/export.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Element type of a tensor. Hidden states and outputs take MOX_F32 and MOX_BF16; weights and
 * factors also MOX_F16; the others occur in files only. Little endian throughout. */
typedef enum mox_dtype {
  MOX_F32 = 0,
  MOX_BF16 = 1,
  MOX_F16 = 2,
  MOX_F64 = 3,
  MOX_I64 = 4,
  MOX_I32 = 5,
  MOX_I16 = 6,
  MOX_I8 = 7,
  MOX_U8 = 8,
  MOX_BOOL = 9
} mox_dtype;

/* "float32", "bfloat16", ...; never NULL. Thread-safe. */
MOX_API const char* mox_dtype_name(mox_dtype dtype);

/* Bytes of one element; 0 for an unknown value. Thread-safe. */
MOX_API size_t mox_dtype_size(mox_dtype dtype);

/* A matrix the caller owns, row by row. A linear's weight is [out, in]: y = x W^T.
 * `data` NULL means "there is none". The library reads it during the call only. */
typedef struct mox_matrix {
  const void* data;
  int64_t rows;
  int64_t columns;
  int64_t row_stride; /* elements from one row to the next; 0: columns */
  mox_dtype dtype;    /* MOX_F32, MOX_BF16 or MOX_F16 */
} mox_matrix;

/* Activation of a feed-forward. */
typedef enum mox_activation {
  MOX_ACTIVATION_BASE = 0, /* adapters only: whatever the base uses */
  MOX_ACTIVATION_SILU = 1,
  MOX_ACTIVATION_GELU = 2,      /* exact, with erf */
  MOX_ACTIVATION_GELU_TANH = 3, /* gelu_new, gelu_pytorch_tanh */
  MOX_ACTIVATION_RELU = 4
} mox_activation;

#ifdef __cplusplus
}
#endif

#endif
