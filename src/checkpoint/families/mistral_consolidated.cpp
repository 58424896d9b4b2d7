// mistral's own layout: params.json beside consolidated.safetensors, dense or with experts.
#include "checkpoint/families/family.h"

namespace moxie::checkpoint {

const Family& mistral_consolidated() {
  static const Family family = [] {
    Family f;
    f.model_type = "transformer";
    f.name = "mistral-consolidated";
    f.format = "mistral consolidated";
    f.fields.hidden = "dim";
    f.fields.ffn = "hidden_dim";
    f.fields.layers = "n_layers";
    f.fields.heads = "n_heads";
    f.fields.kv_heads = "n_kv_heads";
    f.fields.head_dim = "head_dim";
    f.fields.vocabulary = "vocab_size";
    f.fields.norm_epsilon = "norm_eps";
    f.fields.rope_theta = "rope_theta";
    f.fields.experts_object = "moe";
    f.fields.experts = "num_experts";
    f.fields.top_k = "num_experts_per_tok";
    f.experts = true;
    f.max_positions = 0;
    f.rope_theta = 1e6;
    f.rope_theta_zero_is_absent = true;
    f.interleaved = true;
    f.window = WindowRule::number_or_list;
    f.names.embedding = "tok_embeddings.weight";
    f.names.final_norm = "norm.weight";
    f.names.head = "output.weight";
    f.names.attention_norm = "layers.{l}.attention_norm.weight";
    f.names.feed_forward_norm = "layers.{l}.ffn_norm.weight";
    f.names.q = "layers.{l}.attention.wq.weight";
    f.names.k = "layers.{l}.attention.wk.weight";
    f.names.v = "layers.{l}.attention.wv.weight";
    f.names.o = "layers.{l}.attention.wo.weight";
    f.names.gate = "layers.{l}.feed_forward.w1.weight";
    f.names.down = "layers.{l}.feed_forward.w2.weight";
    f.names.up = "layers.{l}.feed_forward.w3.weight";
    f.names.router = "layers.{l}.feed_forward.gate.weight";
    f.names.expert_gate = "layers.{l}.feed_forward.experts.{e}.w1.weight";
    f.names.expert_down = "layers.{l}.feed_forward.experts.{e}.w2.weight";
    f.names.expert_up = "layers.{l}.feed_forward.experts.{e}.w3.weight";
    f.refused = {{"vision_encoder"},
                 {"multimodal"},
                 {"quantization"},
                 {"yarn"},
                 {"rope_scaling"},
                 {"llama_4_scaling"},
                 {"q_lora_rank"},
                 {"kv_lora_rank"},
                 {"use_biases"},
                 {"tied_embeddings"},
                 {"causal", "true"},
                 {"moe.num_shared_experts", "0"},
                 {"moe.first_k_dense_replace", "0"},
                 {"moe.route_every_n", "1"},
                 {"moe.num_expert_groups", "1"},
                 {"moe.num_expert_groups_per_tok", "1"},
                 {"moe.expert_hidden_dim"},
                 {"moe.routed_scale", "1"}};
    return f;
  }();
  return family;
}

}  // namespace moxie::checkpoint
