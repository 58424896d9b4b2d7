/* Adapters: LoRA, rsLoRA, DoRA, MixLoRA, LoRAMoE and MoLA over a frozen base. */
#ifndef MOXIE_ADAPTER_H
#define MOXIE_ADAPTER_H

#include "moxie/block.h"
#include "moxie/feed_forward.h"
#include "moxie/model.h"
#include "moxie/router_loss.h"

#ifdef __cplusplus
extern "C" {
#endif

/* mox_adapter is immutable and reference-counted; every function here may be called from any
 * thread. A batch names adapters by handle, so a name used again can never reach another
 * tenant's weights. A handle must be held (not yet released) by whoever passes it to a call;
 * once a call has started it keeps what it needs, and a release neither waits for it nor
 * disturbs it. */

/* Reads an adapter folder as MoE-PEFT writes it (adapter_config.json and adapter_model.bin, read
 * without executing anything; or adapter_model.safetensors with the same names) and lays it over
 * the whole model. Everything in the files that changes the result is honoured or refused by
 * name; missing and unused tensors are errors. Nothing is kept on error. The caller's thread does
 * the work; the norms that DoRA's magnitudes are divided by are computed from the base's weights,
 * with as many helpers as make up the runtime's threads, for one adapter in the process at a time
 * (others that are opened meanwhile have none). Calls in flight are not waited for. */
MOX_API mox_status mox_adapter_open(const mox_model* model, const char* folder, mox_adapter** adapter,
                                    mox_error* error);

/* The same over one block (its layer's tensors are kept; all are checked). */
MOX_API mox_status mox_adapter_open_for_block(const mox_block* block, const char* folder, mox_adapter** adapter,
                                              mox_error* error);

/* The same over one feed-forward. `layer` says which layer's tensors to take; -1 means the layer
 * the feed-forward was opened from. Attention factors are checked for shape and left aside. */
MOX_API mox_status mox_adapter_open_for_feed_forward(const mox_feed_forward* feed_forward, const char* folder,
                                                     int32_t layer, mox_adapter** adapter, mox_error* error);

typedef enum mox_adapter_kind {
  MOX_ADAPTER_LORA = 0, /* LoRA, rsLoRA (by the scaling), DoRA (by the magnitudes) */
  MOX_ADAPTER_MIXLORA = 1,
  MOX_ADAPTER_MIXLORA_DYNAMIC = 2,
  MOX_ADAPTER_MIXLORA_SWITCH = 3,
  MOX_ADAPTER_LORAMOE = 4,
  MOX_ADAPTER_MOLA = 5
} mox_adapter_kind;

/* "lora", "mixlora", "mixlora-dynamic", ...; never NULL. */
MOX_API const char* mox_adapter_kind_name(mox_adapter_kind kind);

/* The linears of a feed-forward. */
typedef enum mox_projection {
  MOX_PROJECTION_GATE = 0, /* of a plain feed-forward: its first linear */
  MOX_PROJECTION_UP = 1,
  MOX_PROJECTION_DOWN = 2
} mox_projection;

/* One pair of factors over one linear: y + scaling * B (A x) (arXiv 2106.09685); with magnitudes,
 * (m / n) * (W x + scaling * B A x) + bias, n the L2 norm of each row of W + scaling * B A
 * (DoRA, arXiv 2402.09353). */
typedef struct mox_lora_factors {
  mox_matrix a;           /* [rank, in] */
  mox_matrix b;           /* [out, rank] */
  float scaling;          /* alpha / rank, or alpha / sqrt(rank) for rsLoRA (arXiv 2312.03732) */
  const float* magnitude; /* [out], or NULL: no DoRA */
} mox_lora_factors;

/* The factors over one projection. */
typedef struct mox_adapter_projection {
  mox_projection projection;
  const mox_lora_factors* factors; /* [factor_count]: 1 for LoRA, else one for each expert */
  size_t factor_count;
  mox_matrix router; /* LoRAMoE, MoLA: [experts, in]; else data NULL */
} mox_adapter_projection;

/* An adapter made from the caller's factors, over one feed-forward. */
typedef struct mox_adapter_description {
  size_t struct_size;
  mox_adapter_kind kind;
  const char* name; /* for messages; NULL: "adapter" */
  int32_t experts;
  int32_t top_k;             /* MixLoRA, MoLA */
  float top_p;               /* dynamic: in (0, 1] */
  float temperature;         /* dynamic: >= 0 */
  int64_t capacity;          /* switch */
  mox_activation activation; /* MixLoRA: inside the experts */
  mox_matrix router;         /* MixLoRA: [experts, hidden] */
  const mox_adapter_projection* projections;
  size_t projection_count;
} mox_adapter_description;

MOX_API void mox_adapter_description_init(mox_adapter_description* description, size_t struct_size);

/* Copies the factors; the caller may free them after. A factor whose values are all bfloat16's is
 * held in bfloat16: half the memory, and the same results to the bit. */
MOX_API mox_status mox_adapter_create(const mox_feed_forward* feed_forward, const mox_adapter_description* description,
                                      mox_adapter** adapter, mox_error* error);

typedef struct mox_adapter_info {
  size_t struct_size;
  mox_adapter_kind kind;
  int32_t experts; /* 0 without experts */
  int32_t top_k;
  int32_t rank; /* of the experts, or of the plain factors */
  int32_t dora; /* 1 where magnitudes rescale outputs */
  int64_t parameters;
  int64_t bytes; /* as held */
  char name[64]; /* the folder's name, or the description's */
} mox_adapter_info;

/* info->struct_size must be set by the caller. */
MOX_API mox_status mox_adapter_describe(const mox_adapter* adapter, mox_adapter_info* info, mox_error* error);

/* Fills a router loss's settings from the adapter's configuration (strategy, coefficients,
 * top-k, ...); layers, sequences and mask are left as they are. MOX_UNSUPPORTED where the adapter
 * adds no loss (LoRA, LoRAMoE, `router_loss` false). options->struct_size must be set. */
MOX_API mox_status mox_adapter_router_loss(const mox_adapter* adapter, mox_router_loss_options* options,
                                           mox_error* error);

/* One more holder. Returns its argument. */
MOX_API mox_adapter* mox_adapter_retain(mox_adapter* adapter);

/* One holder fewer; with the last one (calls in flight included) the factors are freed.
 * NULL is allowed. */
MOX_API void mox_adapter_release(mox_adapter* adapter);

#ifdef __cplusplus
}
#endif

#endif
