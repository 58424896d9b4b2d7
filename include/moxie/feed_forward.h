/* The feed-forward: one frozen base shared by every range of a batch. */
#ifndef MOXIE_FEED_FORWARD_H
#define MOXIE_FEED_FORWARD_H

#include "moxie/routing.h"
#include "moxie/runtime.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Immutable after creation; any number of threads may run batches on it at once. */
typedef struct mox_feed_forward mox_feed_forward;

/* A named set of LoRA factors and routers; see adapter.h. */
typedef struct mox_adapter mox_adapter;

typedef enum mox_feed_forward_kind {
  MOX_FEED_FORWARD_GATED = 0,  /* down(act(gate(x)) * up(x)) */
  MOX_FEED_FORWARD_PLAIN = 1,  /* down(act(gate(x))): `gate` is the first linear, `up` is absent */
  MOX_FEED_FORWARD_EXPERTS = 2 /* a bank of gated experts with a router */
} mox_feed_forward_kind;

/* How a bank's router turns logits into weights. */
typedef enum mox_router_kind {
  /* The k largest logits, softmax over those (Mixtral, arXiv 2401.04088). */
  MOX_ROUTER_TOP_K = 0,
  /* MixLoRA (arXiv 2404.15159): softmax over all, the k most probable, renormalised. */
  MOX_ROUTER_MIXLORA = 1,
  /* Dynamic top-p (arXiv 2403.07652) as MoE-PEFT computes it: probabilities, divided by the
   * temperature when that is above 0, are taken likeliest first up to and including the first
   * whose running sum exceeds p; not renormalised. */
  MOX_ROUTER_DYNAMIC = 2,
  /* Switch (arXiv 2101.03961): the most probable expert, its probability the weight; within a
   * sequence, in row order, an expert serves its first `capacity` rows. */
  MOX_ROUTER_SWITCH = 3,
  /* LoRAMoE (arXiv 2312.09979): every expert, weighted by its probability. */
  MOX_ROUTER_LORAMOE = 4,
  /* MoLA (arXiv 2402.08562): as MIXLORA, on each linear. */
  MOX_ROUTER_MOLA = 5
} mox_router_kind;

/* The linears of one expert, or of a dense feed-forward. Biases are float32 or NULL. */
typedef struct mox_expert_weights {
  mox_matrix gate;        /* [ffn, hidden] */
  mox_matrix up;          /* [ffn, hidden]; data NULL where plain */
  mox_matrix down;        /* [hidden, ffn] */
  const float* gate_bias; /* [ffn] */
  const float* up_bias;   /* [ffn] */
  const float* down_bias; /* [hidden] */
} mox_expert_weights;

/* How weights are held and computed with. bfloat16 weights round each product's input to
 * bfloat16 once and accumulate in float32. */
typedef enum mox_weights {
  MOX_WEIGHTS_AS_STORED = 0, /* float32 and bfloat16 as they are; float16 is widened to float32 */
  MOX_WEIGHTS_F32 = 1,       /* widened: exact, and inputs are not rounded */
  MOX_WEIGHTS_BF16 = 2       /* rounded to nearest even */
} mox_weights;

/* How bfloat16 weights lie in memory. Compact ones take three quarters of it, which is what few
 * rows wait for, and come out bit by bit: results are the same. A matrix whose weights differ too
 * much in size from each other is held plain whatever is asked for, as float32 is. */
typedef enum mox_storage {
  MOX_STORAGE_AUTO = 0,   /* compact from 1 MiB on, where the kernels in use are expected to be quicker so */
  MOX_STORAGE_PLAIN = 1,  /* two bytes for a weight */
  MOX_STORAGE_COMPACT = 2 /* compact wherever the weights allow */
} mox_storage;

typedef struct mox_feed_forward_description {
  size_t struct_size;
  mox_feed_forward_kind kind;
  int64_t hidden;
  int64_t ffn;
  mox_activation activation;
  const mox_expert_weights* experts; /* [expert_count]; one for the dense kinds */
  int32_t expert_count;
  mox_matrix router; /* bank: [expert_count, hidden] */
  int32_t top_k;     /* bank: experts per row */
  mox_weights weights;
  mox_storage storage; /* of the experts' linears */
} mox_feed_forward_description;

MOX_API void mox_feed_forward_description_init(mox_feed_forward_description* description, size_t struct_size);

/* Packs the caller's weights for the kernels. They are copied: the caller may free them after. */
MOX_API mox_status mox_feed_forward_create(mox_runtime* runtime, const mox_feed_forward_description* description,
                                           mox_feed_forward** feed_forward, mox_error* error);

/* Whether packed weights are kept in a file for the next start: see mox_load_options. */
typedef enum mox_packed_cache {
  MOX_PACKED_CACHE_OFF = 0,
  MOX_PACKED_CACHE_READ_WRITE = 1, /* used where it fits the checkpoint; else written, or written anew */
  MOX_PACKED_CACHE_READ = 2        /* used where it fits; never written */
} mox_packed_cache;

/* How a checkpoint is read. */
typedef struct mox_load_options {
  size_t struct_size;
  mox_weights weights;
  /* 0 (default): files are read. 1: files are mapped; a file truncated meanwhile then kills the
   * process with SIGBUS, so map only what nobody rewrites. */
  int32_t map_files;
  /* A packed cache holds the linears as the kernels take them, so that opening again is as fast as
   * the disk. One that is stale, damaged, made for another dtype or by another version is never
   * used, and one that cannot be written never fails the call: either is logged, and the
   * checkpoint is packed. The checkpoint must stay: norms, biases, routers and embedding are read
   * from it. Whoever may write the cache may change the model, as with the checkpoint. */
  mox_packed_cache packed_cache;
  /* 0 (default): the cache is read into memory on huge pages, which runs faster. 1: it is mapped,
   * so that processes share it; cut short by somebody meanwhile, it then kills the process with
   * SIGBUS. (The library replaces caches whole, which disturbs nobody.) Both check every byte. */
  int32_t map_packed_cache;
  /* A file; or a folder (one that exists, or with a slash at its end), where each checkpoint has a
   * file of its own; or NULL: beside the checkpoint. Used during the call only. */
  const char* packed_cache_path;
  mox_storage storage; /* of all linears */
} mox_load_options;

MOX_API void mox_load_options_init(mox_load_options* options, size_t struct_size);

/* The feed-forward of one layer of a checkpoint folder (config.json with safetensors, or
 * params.json with consolidated.safetensors). options NULL: the defaults. Tensors of other
 * layers need not be there. */
MOX_API mox_status mox_feed_forward_open(mox_runtime* runtime, const char* folder, int32_t layer,
                                         const mox_load_options* options, mox_feed_forward** feed_forward,
                                         mox_error* error);

typedef struct mox_feed_forward_info {
  size_t struct_size;
  mox_feed_forward_kind kind;
  int64_t hidden;
  int64_t ffn;
  mox_activation activation;
  int32_t expert_count;  /* 1 for the dense kinds */
  int32_t top_k;         /* 0 for the dense kinds */
  mox_dtype weights;     /* as held */
  int64_t weight_bytes;  /* packed */
  int64_t compact_bytes; /* what of them is held compact */
} mox_feed_forward_info;

/* info->struct_size must be set by the caller. */
MOX_API mox_status mox_feed_forward_describe(const mox_feed_forward* feed_forward, mox_feed_forward_info* info,
                                             mox_error* error);

/* Waits for nobody: work in flight keeps what it needs. NULL is allowed. */
MOX_API void mox_feed_forward_free(mox_feed_forward* feed_forward);

/* Rows begin .. end - 1 of a batch, and the adapter they run under; NULL asks for the plain base. */
typedef struct mox_range {
  const mox_adapter* adapter;
  int64_t begin;
  int64_t end;
} mox_range;

/* Rows of hidden states in ranges. The ranges must cover rows 0 .. rows - 1 exactly once, in any
 * order; a gap or an overlap is an error, as is an adapter made over another base. */
typedef struct mox_batch {
  size_t struct_size;
  int64_t rows;
  const void* input;      /* [rows, hidden] */
  mox_dtype input_dtype;  /* MOX_F32 or MOX_BF16 */
  int64_t input_stride;   /* elements from row to row; 0: hidden */
  void* output;           /* [rows, hidden]; untouched on error. May be the input itself. */
  mox_dtype output_dtype; /* MOX_F32 or MOX_BF16 */
  int64_t output_stride;  /* elements from row to row; 0: hidden */
  const mox_range* ranges;
  size_t range_count;
  /* First rows of sequences, ascending, for routers whose capacity counts per sequence. NULL:
   * every range is one sequence. The beginning of a range always begins a sequence. */
  const int64_t* sequence_begins;
  size_t sequence_count;
} mox_batch;

MOX_API void mox_batch_init(mox_batch* batch, size_t struct_size);

/* Runs the batch: each token goes to its experts, each range's result lands in its own rows.
 *   plan     NULL: the routers decide. Else a plan of one layer with one entry for each range.
 *   routing  NULL: not wanted. Else receives what was decided.
 * A row's output bits depend on that row, its adapter and the weights only: not on the rest of
 * the batch, nor on the number of threads. */
MOX_API mox_status mox_feed_forward_run(const mox_feed_forward* feed_forward, const mox_batch* batch,
                                        const mox_routing* plan, mox_routing** routing, mox_error* error);

/* Decides without running: the output fields of the batch are ignored. Where an adapter has a
 * router on each linear (LoRAMoE, MoLA), the linears before down_proj are computed to route it. */
MOX_API mox_status mox_feed_forward_route(const mox_feed_forward* feed_forward, const mox_batch* batch,
                                          mox_routing** routing, mox_error* error);

#ifdef __cplusplus
}
#endif

#endif
