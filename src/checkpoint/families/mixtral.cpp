// MixtralForCausalLM (arXiv 2401.04088): a bank of gated experts in every layer.
#include "checkpoint/families/hugging_face.h"

namespace moxie::checkpoint {

const Family& mixtral() {
  static const Family family = [] {
    Family f;
    f.model_type = f.name = "mixtral";
    f.format = "Hugging Face";
    f.fields = hugging_face_fields();
    f.fields.experts = "num_local_experts";
    f.fields.top_k = "num_experts_per_tok";
    f.experts = true;
    f.expert_count = 8;
    f.top_k = 2;
    f.kv_heads = 8;
    f.head_dim = 0;
    f.norm_epsilon = 1e-5;
    f.max_positions = 131072;
    f.rope_theta = 1e6;
    f.rope_scaling = true;
    f.window = WindowRule::every_layer;
    f.names = hugging_face_names();
    f.names.router = "model.layers.{l}.block_sparse_moe.gate.weight";
    f.names.expert_gate = "model.layers.{l}.block_sparse_moe.experts.{e}.w1.weight";
    f.names.expert_down = "model.layers.{l}.block_sparse_moe.experts.{e}.w2.weight";
    f.names.expert_up = "model.layers.{l}.block_sparse_moe.experts.{e}.w3.weight";
    f.refused = hugging_face_refused({{"attention_bias"}, {"mlp_bias"}});
    return f;
  }();
  return family;
}

}  // namespace moxie::checkpoint
