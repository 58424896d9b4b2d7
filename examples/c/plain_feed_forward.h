/* Feed-forwards in plain C and float64, as slow as they are simple: what the examples compare with. */
#ifndef MOXIE_EXAMPLE_PLAIN_FEED_FORWARD_H
#define MOXIE_EXAMPLE_PLAIN_FEED_FORWARD_H

#include <math.h>
#include <stdlib.h>

#include "example.h"

/* y = x W^T + bias + scaling (x A^T) B^T; matrices are float32 without gaps between rows */
static inline void plain_linear(const mox_matrix* weight, const float* bias, const mox_lora_factors* lora,
                                const double* x, double* y) {
  const float* w = weight->data;
  for (int64_t o = 0; o < weight->rows; ++o) {
    y[o] = bias ? bias[o] : 0.0;
    for (int64_t i = 0; i < weight->columns; ++i) y[o] += w[o * weight->columns + i] * x[i];
  }
  if (lora == NULL) return;
  const float *a = lora->a.data, *b = lora->b.data;
  for (int64_t r = 0; r < lora->a.rows; ++r) {
    double z = 0;
    for (int64_t i = 0; i < lora->a.columns; ++i) z += a[r * lora->a.columns + i] * x[i];
    for (int64_t o = 0; o < lora->b.rows; ++o) y[o] += lora->scaling * b[o * lora->a.rows + r] * z;
  }
}

static inline double plain_activation(mox_activation activation, double x) {
  return activation == MOX_ACTIVATION_SILU ? x / (1 + exp(-x)) : 0.5 * x * (1 + erf(x / sqrt(2.0)));
}

/* output += factor * down(act(gate(x)) * up(x)), without `up` where the weights have none */
static inline void plain_expert(const mox_expert_weights* weights, mox_activation activation,
                                const mox_lora_factors* gate_lora, const mox_lora_factors* down_lora, const float* x,
                                double factor, double* output) {
  const int64_t hidden = weights->gate.columns, ffn = weights->gate.rows;
  double* memory = example_memory((size_t)(2 * hidden + 2 * ffn), sizeof *memory);
  double *input = memory, *y = input + hidden, *gate = y + hidden, *up = gate + ffn;
  for (int64_t i = 0; i < hidden; ++i) input[i] = x[i];
  plain_linear(&weights->gate, weights->gate_bias, gate_lora, input, gate);
  if (weights->up.data) plain_linear(&weights->up, weights->up_bias, NULL, input, up);
  for (int64_t i = 0; i < ffn; ++i) gate[i] = plain_activation(activation, gate[i]) * (weights->up.data ? up[i] : 1.0);
  plain_linear(&weights->down, weights->down_bias, down_lora, gate, y);
  for (int64_t i = 0; i < hidden; ++i) output[i] += factor * y[i];
  free(memory);
}

/* The k most probable experts, likeliest first, with weights that sum to 1. */
static inline void plain_route(const mox_matrix* router, int top_k, const float* x, double* logits, int* experts,
                               double* weights) {
  const float* w = router->data;
  for (int64_t e = 0; e < router->rows; ++e) {
    logits[e] = 0;
    for (int64_t i = 0; i < router->columns; ++i) logits[e] += (double)w[e * router->columns + i] * x[i];
  }
  double sum = 0;
  for (int k = 0; k < top_k; ++k) {
    experts[k] = -1;
    for (int e = 0; e < (int)router->rows; ++e) {
      int taken = 0;
      for (int before = 0; before < k; ++before) taken |= experts[before] == e;
      if (!taken && (experts[k] < 0 || logits[e] > logits[experts[k]])) experts[k] = e;
    }
    weights[k] = exp(logits[experts[k]] - logits[experts[0]]);
    sum += weights[k];
  }
  for (int k = 0; k < top_k; ++k) weights[k] /= sum;
}

#endif
