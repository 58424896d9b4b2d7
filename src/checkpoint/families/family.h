// A family of decoders, told as data: what its configuration calls things, what it leaves unsaid, what its tensors are
// called. config.cpp interprets; a new family is a new file of this kind.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "checkpoint/architecture.h"

namespace moxie::checkpoint {

// A field that would change the result and that we do not honour: refused unless absent, null, false, empty, or at
// the neutral value (a JSON literal).
struct RefusedField {
  const char* name;
  const char* neutral = "null";
};

// What the configuration calls things. Empty: the format has no such field.
struct FieldNames {
  std::string hidden, ffn, layers, heads, kv_heads, head_dim, vocabulary;
  std::string norm_epsilon, activation, tied_embeddings, max_positions;
  std::string attention_bias, feed_forward_bias;
  std::string rope_theta;
  std::string experts_object;  // object that holds the next two; null or absent: dense. Empty: the top level
  std::string experts, top_k;
};

enum class WindowRule {
  none,           // every row sees all rows before it
  every_layer,    // `sliding_window`: one number for all layers
  number_or_list  // `sliding_window` or `_sliding_window`: a number, or a list repeated over the layers
};

struct Family {
  std::string model_type;  // as the configuration says it
  std::string name;        // Architecture::family
  std::string format;      // Architecture::format
  FieldNames fields;
  bool experts = false;  // may be a bank of experts

  // Where the configuration is silent. Nothing: the field is required.
  std::optional<int64_t> kv_heads;  // 0: as many as heads
  std::optional<int64_t> head_dim;  // 0: hidden / heads
  std::optional<double> norm_epsilon;
  std::optional<int64_t> max_positions;  // 0: not stated
  double rope_theta = 10000.0;
  bool rope_theta_zero_is_absent = false;
  bool rope_scaling = false;  // reads rope_scaling, rope_parameters and partial_rotary_factor
  bool interleaved = false;
  bool tied_embeddings = false;
  mox_activation activation = MOX_ACTIVATION_SILU;
  int64_t expert_count = 0;
  int64_t top_k = 0;
  WindowRule window = WindowRule::none;
  int64_t window_when_absent = 0;

  TensorNames names;
  std::vector<RefusedField> refused;
};

const Family& llama();
const Family& mistral();
const Family& mixtral();
const Family& mistral_consolidated();

// Those config.json can name.
const std::vector<const Family*>& hugging_face_families();

}  // namespace moxie::checkpoint
