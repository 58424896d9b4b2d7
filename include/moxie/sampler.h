/* Choosing the next token. */
#ifndef MOXIE_SAMPLER_H
#define MOXIE_SAMPLER_H

#include "moxie/status.h"
#include "moxie/types.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Holds the state of a random generator: one owner at a time. The same seed and logits give the
 * same tokens on every machine. */
typedef struct mox_sampler mox_sampler;

typedef struct mox_sampler_options {
  size_t struct_size;
  float temperature; /* 0 (default): the likeliest token; of equals the lower id */
  int32_t top_k;     /* keep the k likeliest; 0: all */
  float top_p;       /* then keep the likeliest whose probabilities reach p; 1: all */
  uint64_t seed;
} mox_sampler_options;

MOX_API void mox_sampler_options_init(mox_sampler_options* options, size_t struct_size);

/* options NULL: greedy. */
MOX_API mox_status mox_sampler_create(const mox_sampler_options* options, mox_sampler** sampler, mox_error* error);

/* logits: [vocabulary]. A NaN is MOX_NUMERIC. */
MOX_API mox_status mox_sampler_next(mox_sampler* sampler, const float* logits, int64_t vocabulary, int32_t* token,
                                    mox_error* error);

/* NULL is allowed. */
MOX_API void mox_sampler_free(mox_sampler* sampler);

#ifdef __cplusplus
}
#endif

#endif
