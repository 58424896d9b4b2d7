/* Somebody's own engine, as embed.c finds it: a Llama decoder in plain C with its own weights, norm, rotary attention
 * and key-value cache, and LoRA on its attention. It has no feed-forward: that is what is put in from outside.
 * Written for one model, examples/models/tiny-llama, as such engines are. */
#ifndef MOXIE_EXAMPLE_OWN_ENGINE_H
#define MOXIE_EXAMPLE_OWN_ENGINE_H

#include "example.h"

enum {
  LAYERS = 6,
  HIDDEN = 192,
  FFN = 512,
  HEADS = 6,
  KV_HEADS = 2,
  HEAD = 32, /* elements of a head */
  KV = KV_HEADS * HEAD,
  VOCABULARY = 2048,
  MAX_TOKENS = 64 /* of a sequence */
};

/* y = W x, and LoRA's scaling * B (A x) where there are factors. */
typedef struct own_lora {
  float *a, *b; /* [rank, in], [out, rank]; NULL: none */
  int rank;
  float scaling;
} own_lora;

enum { Q, K, V, O, LINEARS };
static const char* const own_linear_names[LINEARS] = {"q_proj", "k_proj", "v_proj", "o_proj"};

typedef struct own_layer {
  float *attention_norm, *mlp_norm;
  float* linears[LINEARS];
} own_layer;

typedef struct own_model {
  float *embedding, *norm, *head;
  own_layer layers[LAYERS];
} own_model;

/* What an adapter does to the attention; none of its factors may be there. */
typedef struct own_attention_lora {
  own_lora linears[LAYERS][LINEARS];
} own_attention_lora;

typedef struct own_cache {
  float keys[LAYERS][MAX_TOKENS][KV], values[LAYERS][MAX_TOKENS][KV];
  int length;
} own_cache;

/* A tensor as float32, or NULL where there is none of that name. */
static inline float* own_find(const mox_file* file, const char* name, int64_t rows, int64_t columns) {
  int64_t index;
  if (mox_file_find_tensor(file, name, &index, NULL) == MOX_NOT_FOUND) return NULL;
  mox_tensor_info info = {.struct_size = sizeof info};
  TRY(mox_file_tensor(file, index, &info, &error));
  EXPECT(info.dimensions == (columns ? 2 : 1) && info.shape[0] == rows && (!columns || info.shape[1] == columns));
  const size_t count = (size_t)(rows * (columns ? columns : 1));
  float* values = example_memory(count, sizeof *values);
  if (info.dtype == MOX_F32) {
    TRY(mox_file_read_tensor(file, index, values, count * sizeof *values, &error));
    return values;
  }
  EXPECT(info.dtype == MOX_BF16);
  uint16_t* stored = example_memory(count, sizeof *stored);
  TRY(mox_file_read_tensor(file, index, stored, count * sizeof *stored, &error));
  for (size_t i = 0; i < count; ++i) {
    const uint32_t bits = (uint32_t)stored[i] << 16;
    memcpy(&values[i], &bits, sizeof bits);
  }
  free(stored);
  return values;
}

static inline float* own_read(const mox_file* file, const char* name, int64_t rows, int64_t columns) {
  float* values = own_find(file, name, rows, columns);
  if (values == NULL) fprintf(stderr, "%s is missing\n", name), exit(1);
  return values;
}

static inline float* own_read_in_layer(const mox_file* file, int layer, const char* name, int64_t rows,
                                       int64_t columns) {
  char full_name[96];
  snprintf(full_name, sizeof full_name, "model.layers.%d.%s.weight", layer, name);
  return own_read(file, full_name, rows, columns);
}

static inline int64_t own_outputs(int linear) { return linear == K || linear == V ? KV : HIDDEN; }

static inline void own_model_read(own_model* model, const mox_file* file) {
  model->embedding = own_read(file, "model.embed_tokens.weight", VOCABULARY, HIDDEN);
  model->norm = own_read(file, "model.norm.weight", HIDDEN, 0);
  model->head = own_read(file, "lm_head.weight", VOCABULARY, HIDDEN);
  for (int i = 0; i < LAYERS; ++i) {
    own_layer* layer = &model->layers[i];
    layer->attention_norm = own_read_in_layer(file, i, "input_layernorm", HIDDEN, 0);
    layer->mlp_norm = own_read_in_layer(file, i, "post_attention_layernorm", HIDDEN, 0);
    for (int linear = 0; linear < LINEARS; ++linear) {
      char name[32];
      snprintf(name, sizeof name, "self_attn.%s", own_linear_names[linear]);
      layer->linears[linear] = own_read_in_layer(file, i, name, own_outputs(linear), HIDDEN);
    }
  }
}

static inline void own_model_free(own_model* model) {
  free(model->embedding), free(model->norm), free(model->head);
  for (int i = 0; i < LAYERS; ++i) {
    free(model->layers[i].attention_norm), free(model->layers[i].mlp_norm);
    for (int linear = 0; linear < LINEARS; ++linear) free(model->layers[i].linears[linear]);
  }
}

/* prefix: what MoE-PEFT puts before "layers.N" in this kind of adapter */
static inline void own_attention_lora_read(own_attention_lora* lora, const mox_file* file, const char* prefix, int rank,
                                           float scaling) {
  for (int i = 0; i < LAYERS; ++i) {
    for (int linear = 0; linear < LINEARS; ++linear) {
      char a[96], b[96];
      snprintf(a, sizeof a, "%slayers.%d.self_attn.%s.lora_A.weight", prefix, i, own_linear_names[linear]);
      snprintf(b, sizeof b, "%slayers.%d.self_attn.%s.lora_B.weight", prefix, i, own_linear_names[linear]);
      lora->linears[i][linear] =
          (own_lora){own_find(file, a, rank, HIDDEN), own_find(file, b, own_outputs(linear), rank), rank, scaling};
    }
  }
}

static inline void own_attention_lora_free(own_attention_lora* lora) {
  for (int i = 0; i < LAYERS; ++i) {
    for (int linear = 0; linear < LINEARS; ++linear) free(lora->linears[i][linear].a), free(lora->linears[i][linear].b);
  }
}

static inline float own_dot(const float* x, const float* y, int count) {
  float sum = 0;
  for (int i = 0; i < count; ++i) sum += x[i] * y[i];
  return sum;
}

static inline void own_linear(const float* weight, const own_lora* lora, const float* x, int in, int64_t out,
                              float* y) {
  for (int64_t o = 0; o < out; ++o) y[o] = own_dot(weight + o * in, x, in);
  if (lora == NULL || lora->a == NULL) return;
  for (int r = 0; r < lora->rank; ++r) {
    const float z = lora->scaling * own_dot(lora->a + (int64_t)r * in, x, in);
    for (int64_t o = 0; o < out; ++o) y[o] += lora->b[o * lora->rank + r] * z;
  }
}

static inline void own_norm(const float* weight, const float* x, float* y) {
  const float factor = 1 / sqrtf(own_dot(x, x, HIDDEN) / HIDDEN + 1e-5f);
  for (int i = 0; i < HIDDEN; ++i) y[i] = weight[i] * (x[i] * factor);
}

static inline void own_rotate(float* heads, int count, int position) {
  for (int i = 0; i < HEAD / 2; ++i) {
    const double angle = position / pow(10000.0, 2.0 * i / HEAD);
    const float c = (float)cos(angle), s = (float)sin(angle);
    for (int h = 0; h < count; ++h) {
      float *low = heads + h * HEAD + i, *high = low + HEAD / 2, x = *low, y = *high;
      *low = x * c - y * s, *high = y * c + x * s;
    }
  }
}

/* state += attention of one token at `position`; those before it are in the cache already. */
static inline void own_attention(const own_model* model, const own_attention_lora* lora, own_cache* cache, int layer,
                                 int position, float* state) {
  const own_layer* weights = &model->layers[layer];
  const own_lora* factors = lora ? lora->linears[layer] : NULL;
  float x[HIDDEN], q[HIDDEN], mixed[HIDDEN] = {0};
  float *k = cache->keys[layer][position], *v = cache->values[layer][position];
  own_norm(weights->attention_norm, state, x);
  own_linear(weights->linears[Q], factors ? &factors[Q] : NULL, x, HIDDEN, HIDDEN, q);
  own_linear(weights->linears[K], factors ? &factors[K] : NULL, x, HIDDEN, KV, k);
  own_linear(weights->linears[V], factors ? &factors[V] : NULL, x, HIDDEN, KV, v);
  own_rotate(q, HEADS, position), own_rotate(k, KV_HEADS, position);
  for (int h = 0; h < HEADS; ++h) {
    const int kv = h / (HEADS / KV_HEADS) * HEAD;
    float scores[MAX_TOKENS], largest = -INFINITY, sum = 0;
    for (int p = 0; p <= position; ++p) {
      scores[p] = own_dot(q + h * HEAD, cache->keys[layer][p] + kv, HEAD) / sqrtf(HEAD);
      largest = fmaxf(largest, scores[p]);
    }
    for (int p = 0; p <= position; ++p) sum += scores[p] = expf(scores[p] - largest);
    for (int p = 0; p <= position; ++p) {
      for (int i = 0; i < HEAD; ++i) mixed[h * HEAD + i] += scores[p] / sum * cache->values[layer][p][kv + i];
    }
  }
  own_linear(weights->linears[O], factors ? &factors[O] : NULL, mixed, HIDDEN, HIDDEN, x);
  for (int i = 0; i < HIDDEN; ++i) state[i] += x[i];
}

#endif
