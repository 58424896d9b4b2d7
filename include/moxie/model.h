/* Whole decoders: embedding, blocks, norm, head. */
#ifndef MOXIE_MODEL_H
#define MOXIE_MODEL_H

#include "moxie/feed_forward.h"
#include "moxie/sequence.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Immutable after opening; any number of threads may step their own sequences at once.
 * (mox_model is declared in sequence.h.) */

/* Opens a checkpoint folder: Hugging Face (config.json with model.safetensors or shards and an
 * index) or mistral's (params.json with consolidated.safetensors). options NULL: the defaults. */
MOX_API mox_status mox_model_open(mox_runtime* runtime, const char* folder, const mox_load_options* options,
                                  mox_model** model, mox_error* error);

/* Sequences and work in flight keep what they need. NULL is allowed. */
MOX_API void mox_model_free(mox_model* model);

typedef struct mox_model_info {
  size_t struct_size;
  char family[32]; /* "llama", "mistral", "mixtral", "mistral-consolidated" */
  int64_t hidden;
  int64_t ffn;
  int64_t vocabulary;
  int64_t max_positions; /* 0: not stated */
  int32_t layers;
  int32_t heads;
  int32_t kv_heads;
  int32_t head_dim;
  int32_t experts; /* 0: dense */
  int32_t top_k;
  int64_t parameters;
  int64_t weight_bytes; /* as held */
  mox_dtype weights;    /* of the linears, as held */
  int32_t bos_token;    /* -1: not stated */
  int32_t eos_token;    /* -1: not stated, or several */
} mox_model_info;

/* info->struct_size must be set by the caller. */
MOX_API mox_status mox_model_describe(const mox_model* model, mox_model_info* info, mox_error* error);

/* What one sequence does in a step: takes token_count tokens (many: prefill; one: decode) under
 * an adapter (NULL: the plain base), and gives the logits of its last logits_rows rows. */
typedef struct mox_step {
  mox_sequence* sequence;
  const mox_adapter* adapter;
  const int32_t* tokens;
  int64_t token_count;
  float* logits;         /* [logits_rows, vocabulary] float32; NULL with logits_rows = 0 */
  int64_t logits_rows;   /* 0 .. token_count */
  int64_t logits_stride; /* elements from row to row; 0: vocabulary */
} mox_step;

/* Moves all given sequences on together: prefill and decode, base and adapters, mixed. All or
 * nothing: on error no sequence has moved and no logits are written. A sequence may stand in a
 * call once, and be in one call at a time.
 *   routing  NULL: not wanted. Else what every layer's routers decided, one range for each step. */
MOX_API mox_status mox_model_step(const mox_model* model, const mox_step* steps, size_t step_count,
                                  mox_routing** routing, mox_error* error);

#ifdef __cplusplus
}
#endif

#endif
