/* Sequences: what attention remembers (the KV cache). */
#ifndef MOXIE_SEQUENCE_H
#define MOXIE_SEQUENCE_H

#include "moxie/status.h"
#include "moxie/types.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct mox_model mox_model;
typedef struct mox_block mox_block;

/* The keys and values of one sequence, in every layer. One owner at a time: a sequence that is in
 * a call must not be used by another; the second call fails and says so. Memory grows with the
 * tokens it holds. */
typedef struct mox_sequence mox_sequence;

typedef struct mox_sequence_options {
  size_t struct_size;
  int64_t first_position; /* position of the first token, for what would have stood left of it as padding; 0 */
  mox_dtype kv;           /* how keys and values are held: MOX_F32 (the default), or MOX_BF16, which halves memory and
                             what decoding reads; any other is refused */
} mox_sequence_options;

MOX_API void mox_sequence_options_init(mox_sequence_options* options, size_t struct_size);

/* options NULL: the defaults. */
MOX_API mox_status mox_sequence_create(const mox_model* model, const mox_sequence_options* options,
                                       mox_sequence** sequence, mox_error* error);
MOX_API mox_status mox_sequence_create_for_block(const mox_block* block, const mox_sequence_options* options,
                                                 mox_sequence** sequence, mox_error* error);

/* A second sequence that remembers the same, in the same element type; what they share is copied only when one of them
 * writes. */
MOX_API mox_status mox_sequence_fork(const mox_sequence* sequence, mox_sequence** fork, mox_error* error);

/* Forgets everything after the first `length` tokens, 0 .. length now. */
MOX_API mox_status mox_sequence_truncate(mox_sequence* sequence, int64_t length, mox_error* error);

typedef struct mox_sequence_info {
  size_t struct_size;
  int64_t length;         /* tokens held */
  int64_t first_position; /* as it was created with */
  mox_dtype kv;           /* how keys and values are held */
  int64_t kv_bytes;       /* memory of keys and values, in steps of 64 tokens; what forks share counts in each */
} mox_sequence_info;

/* info->struct_size must be set by the caller. The sequence must not be in a call. */
MOX_API mox_status mox_sequence_describe(const mox_sequence* sequence, mox_sequence_info* info, mox_error* error);

/* Tokens held. */
MOX_API int64_t mox_sequence_length(const mox_sequence* sequence);

/* NULL is allowed. Must not be in a call. */
MOX_API void mox_sequence_free(mox_sequence* sequence);

#ifdef __cplusplus
}
#endif

#endif
