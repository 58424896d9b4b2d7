/* One transformer block: RMSNorm, attention, feed-forward, residuals. */
#ifndef MOXIE_BLOCK_H
#define MOXIE_BLOCK_H

#include "moxie/feed_forward.h"
#include "moxie/sequence.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Immutable after opening; any number of threads may step their own sequences at once.
 * (mox_block is declared in sequence.h.) */

/* One layer of a checkpoint folder. Tensors of other layers need not be there. */
MOX_API mox_status mox_block_open(mox_runtime* runtime, const char* folder, int32_t layer,
                                  const mox_load_options* options, mox_block** block, mox_error* error);

/* NULL is allowed. */
MOX_API void mox_block_free(mox_block* block);

/* Width of the block's rows. */
MOX_API int64_t mox_block_hidden(const mox_block* block);

/* Rows of one sequence that pass through the block, behind those it has seen. */
typedef struct mox_block_step {
  mox_sequence* sequence;
  const mox_adapter* adapter;
  const void* input;     /* [rows, hidden] */
  void* output;          /* [rows, hidden] */
  void* after_attention; /* [rows, hidden]: input + attention; NULL: not wanted */
  int64_t rows;
  int64_t stride;  /* elements from row to row, of all three; 0: hidden */
  mox_dtype dtype; /* of all three: MOX_F32 or MOX_BF16 */
} mox_block_step;

/* All or nothing, as mox_model_step. */
MOX_API mox_status mox_block_run(const mox_block* block, const mox_block_step* steps, size_t step_count,
                                 mox_routing** routing, mox_error* error);

#ifdef __cplusplus
}
#endif

#endif
