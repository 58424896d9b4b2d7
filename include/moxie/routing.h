/* Routing plans: what the routers decided for each row. */
#ifndef MOXIE_ROUTING_H
#define MOXIE_ROUTING_H

#include "moxie/status.h"
#include "moxie/types.h"

#ifdef __cplusplus
extern "C" {
#endif

/* What the routers of a call decided: for every layer the call ran and every range (or step) of
 * it, each router's logits, chosen experts and weights. Immutable; any number of threads may read
 * it at once. Owned by the caller: free it with mox_routing_free. */
typedef struct mox_routing mox_routing;

/* The routers of one range in one layer.
 *
 *   who routes                     routers   places   order of the places
 *   bank of experts (Mixtral)      1         top_k    likeliest first
 *   MixLoRA top-k                  1         top_k    likeliest first; weights sum to 1
 *   MixLoRA dynamic (top-p)        1         experts  likeliest first, then -1 with weight 0
 *   MixLoRA switch                 1         1        -1: over capacity (the weight still stands)
 *   LoRAMoE                        linears   experts  expert 0, 1, ... (all are used)
 *   MoLA                           linears   top_k    likeliest first; weights sum to 1
 *
 * The linears of LoRAMoE and MoLA come in the order q, k, v, o, gate, down, up, those without a
 * router left out. A range without a router has routers = 0. */
typedef struct mox_routing_info {
  size_t struct_size;
  int64_t rows; /* rows of the range */
  int32_t routers;
  int32_t experts; /* experts each router chooses from */
  int32_t places;  /* expert ids and weights per row and router */
} mox_routing_info;

/* Layers and ranges the plan covers. */
MOX_API int64_t mox_routing_layers(const mox_routing* routing);
MOX_API int64_t mox_routing_ranges(const mox_routing* routing);

/* info->struct_size must be set by the caller. */
MOX_API mox_status mox_routing_describe(const mox_routing* routing, int64_t layer, int64_t range,
                                        mox_routing_info* info, mox_error* error);

/* Name of a router: "mlp" for one that serves a whole feed-forward, else its linear's
 * ("q_proj", "gate_proj", ...). The string lives as long as the plan. */
MOX_API mox_status mox_routing_router_name(const mox_routing* routing, int64_t layer, int64_t range, int32_t router,
                                           const char** name, mox_error* error);

/* Copies out what was decided, router after router; any of the three may be NULL.
 *   logits  [routers * rows, experts] float32, before any softmax; NaN throughout where the plan
 *           was given by the caller
 *   experts [routers * rows, places]
 *   weights [routers * rows, places] */
MOX_API mox_status mox_routing_read(const mox_routing* routing, int64_t layer, int64_t range, float* logits,
                                    int32_t* experts, float* weights, mox_error* error);

/* What the caller decides for one range: ids and weights as mox_routing_read gives them.
 * routers = 0 for a range without a router. */
typedef struct mox_routing_choice {
  int64_t rows;
  int32_t routers;
  int32_t experts;
  int32_t places;
  const int32_t* expert_ids; /* [routers * rows, places] */
  const float* weights;      /* [routers * rows, places] */
} mox_routing_choice;

/* Builds a plan of one layer from the caller's choices, one for each range of the batch it is
 * meant for. Ids must be within -1 .. experts - 1, none twice in a row, and weights finite. */
MOX_API mox_status mox_routing_create(const mox_routing_choice* choices, size_t choice_count, mox_routing** routing,
                                      mox_error* error);

/* NULL is allowed. */
MOX_API void mox_routing_free(mox_routing* routing);

#ifdef __cplusplus
}
#endif

#endif
