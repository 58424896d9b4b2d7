/* What a router adds to a training loss, and how it shares out the rows. */
#ifndef MOXIE_ROUTER_LOSS_H
#define MOXIE_ROUTER_LOSS_H

#include "moxie/feed_forward.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Router logits are [layers * sequences * rows, experts], the layers one after another; a linear
 * with a router of its own counts as a layer. */
typedef struct mox_router_loss_options {
  size_t struct_size;
  mox_router_kind kind; /* MOX_ROUTER_LORAMOE has no loss */
  int32_t experts;
  int32_t top_k;     /* TOP_K, MIXLORA, MOLA */
  float top_p;       /* DYNAMIC */
  float temperature; /* DYNAMIC */
  int64_t capacity;  /* SWITCH: counts in the profile only */
  double balance_coefficient;
  double z_coefficient; /* SWITCH */
  int64_t layers;
  int64_t sequences; /* rows of one sequence = row_count / (layers * sequences) */
  /* [sequences * rows], 1: a real token, 0: padding, repeated for each layer. Excludes padding
   * from every loss and profile. NULL: all rows count. */
  const uint8_t* mask;
} mox_router_loss_options;

MOX_API void mox_router_loss_options_init(mox_router_loss_options* options, size_t struct_size);

/* The auxiliary loss, coefficients included, computed in float64 over all layers at once.
 *   TOP_K, MIXLORA, MOLA  balance (Switch Transformers eq. 4): experts * sum over e of (share of
 *                         rows that chose e) * (mean probability of e)
 *   DYNAMIC               the same over the experts that top-p takes
 *   SWITCH                z_coefficient * mean squared log-sum-exp + balance of the likeliest
 *                         expert, whatever the capacity
 * logits: [row_count, experts] float32. Thread-safe. */
MOX_API mox_status mox_router_loss(const mox_router_loss_options* options, const float* logits, int64_t row_count,
                                   double* loss, mox_error* error);

/* Share of each layer's rows that went to each expert: profile [layers, experts]. Places without
 * an expert (top-p's empty ones, rows over capacity) count for nobody. */
MOX_API mox_status mox_router_profile(const mox_router_loss_options* options, const float* logits, int64_t row_count,
                                      double* profile, mox_error* error);

#ifdef __cplusplus
}
#endif

#endif
