// What a decoder is, resolved from config.json or params.json: the only thing the rooms above know of a checkpoint.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "moxie/types.h"

namespace moxie::checkpoint {

enum class RopeScaling { none, linear, dynamic, llama3, yarn, longrope };

// Rotary embedding. Frequencies are made from this by transformer/rotary.
struct Rope {
  double theta = 10000.0;
  bool interleaved = false;  // dimensions 2i and 2i+1 turn together (mistral); else i and i + rotary_dim/2
  int64_t rotary_dim = 0;    // leading dimensions of a head that turn
  RopeScaling scaling = RopeScaling::none;
  double factor = 1.0;
  double low_frequency_factor = 1.0;              // llama3
  double high_frequency_factor = 4.0;             // llama3
  double original_positions = 0;                  // llama3, yarn, longrope: positions of the original training
  double max_positions = 0;                       // max_position_embeddings
  double beta_fast = 32, beta_slow = 1;           // yarn
  bool truncate = true;                           // yarn
  double attention_factor = 1.0;                  // yarn, longrope: multiplies cos and sin; already resolved
  std::vector<double> short_factor, long_factor;  // longrope
};

// Tensor names of one layer, as printf-like patterns: "{l}" is the layer, "{e}" the expert. Empty: there is none.
// Names carry their ending (".weight"); the bias of a linear stands at the same name with ".bias".
struct TensorNames {
  std::string embedding, final_norm, head;
  std::string attention_norm, feed_forward_norm;
  std::string q, k, v, o;
  std::string gate, up, down;                       // dense feed-forward
  std::string router;                               // bank of experts
  std::string expert_gate, expert_up, expert_down;  // bank of experts
  std::vector<std::string> harmless;                // buffers to pass over, by exact pattern
};

struct Architecture {
  std::string family;  // "llama", "mistral", "mixtral", "mistral-consolidated"
  std::string format;  // "Hugging Face" or "mistral consolidated"
  int64_t hidden = 0;
  int64_t ffn = 0;  // of one expert where there are experts
  int64_t vocabulary = 0;
  int64_t max_positions = 0;  // 0: not stated
  int32_t layers = 0;
  int32_t heads = 0;
  int32_t kv_heads = 0;
  int32_t head_dim = 0;
  int32_t experts = 0;  // 0: dense
  int32_t top_k = 0;
  double norm_epsilon = 1e-6;
  mox_activation activation = MOX_ACTIVATION_SILU;
  bool tied_embeddings = false;
  bool attention_bias = false;  // q, k, v
  bool output_bias = false;     // o
  bool feed_forward_bias = false;
  std::vector<int64_t> windows;  // per layer: rows a row sees, itself included; 0: all before it
  Rope rope;
  TensorNames names;
  int32_t bos_token = -1;
  int32_t eos_token = -1;
};

// Name of a tensor of a layer (and expert).
std::string tensor_name(const std::string& pattern, int64_t layer, int64_t expert = 0);
// The bias that belongs to a linear's weight.
std::string bias_name(const std::string& weight_name);

// Layer and expert of a name that fits the pattern (0 where the pattern has none); nothing where it does not fit.
struct TensorPlace {
  int64_t layer = 0;
  int64_t expert = 0;
};
std::optional<TensorPlace> match_tensor(std::string_view pattern, std::string_view name);

// An activation by the name configurations give it ("silu", "gelu_new"); nothing where it is unknown.
std::optional<mox_activation> activation_named(std::string_view name);
const char* activation_name(mox_activation activation);
const char* rope_scaling_name(RopeScaling scaling);

// Refuses what keeps attention from being computed although the feed-forward can be: a number of rotating dimensions
// that is not a positive even number. Whoever opens more than a feed-forward asks. `file` is for the message.
void require_attention(const Architecture& architecture, const std::string& file);

}  // namespace moxie::checkpoint
