#include "checkpoint/families/hugging_face.h"

namespace moxie::checkpoint {

FieldNames hugging_face_fields() {
  FieldNames fields;
  fields.hidden = "hidden_size";
  fields.ffn = "intermediate_size";
  fields.layers = "num_hidden_layers";
  fields.heads = "num_attention_heads";
  fields.kv_heads = "num_key_value_heads";
  fields.head_dim = "head_dim";
  fields.vocabulary = "vocab_size";
  fields.norm_epsilon = "rms_norm_eps";
  fields.activation = "hidden_act";
  fields.tied_embeddings = "tie_word_embeddings";
  fields.max_positions = "max_position_embeddings";
  fields.rope_theta = "rope_theta";
  return fields;
}

TensorNames hugging_face_names() {
  TensorNames names;
  names.embedding = "model.embed_tokens.weight";
  names.final_norm = "model.norm.weight";
  names.head = "lm_head.weight";
  names.attention_norm = "model.layers.{l}.input_layernorm.weight";
  names.feed_forward_norm = "model.layers.{l}.post_attention_layernorm.weight";
  names.q = "model.layers.{l}.self_attn.q_proj.weight";
  names.k = "model.layers.{l}.self_attn.k_proj.weight";
  names.v = "model.layers.{l}.self_attn.v_proj.weight";
  names.o = "model.layers.{l}.self_attn.o_proj.weight";
  return names;
}

TensorNames hugging_face_dense_names() {
  TensorNames names = hugging_face_names();
  names.gate = "model.layers.{l}.mlp.gate_proj.weight";
  names.up = "model.layers.{l}.mlp.up_proj.weight";
  names.down = "model.layers.{l}.mlp.down_proj.weight";
  return names;
}

std::vector<RefusedField> hugging_face_refused(std::vector<RefusedField> more) {
  std::vector<RefusedField> refused = {
      {"quantization_config"},
      {"compression_config"},
      {"text_config"},
      {"vision_config"},
      {"audio_config"},
      {"is_encoder_decoder"},
      {"add_cross_attention"},
      {"cross_attention_layers"},
      {"use_bidirectional_attention"},
      {"is_causal", "true"},
      {"pruned_heads"},
      {"attn_logit_softcapping"},
      {"final_logit_softcapping"},
      {"query_pre_attn_scalar"},
      {"attention_multiplier", "1"},
      {"embedding_multiplier", "1"},
      {"residual_multiplier", "1"},
      {"logits_scaling", "1"},
      {"logit_scale", "1"},
      {"scale_emb", "1"},
      {"scale_depth", "1"},
      {"clip_qkv"},
      {"qkv_bias"},
      {"use_bias"},
      {"lm_head_bias"},
      {"use_qk_norm"},
      {"qk_norm"},
      {"qk_layernorm"},
      {"attention_chunk_size"},
      {"attn_temperature_tuning"},
      {"no_rope_layers"},
      {"no_rope_layer_interval", "0"},
      {"alibi"},
      {"use_alibi"},
      {"position_embedding_type", "\"rope\""},
      {"rope_interleaved"},
      {"rope_ratio", "1"},
      {"rope_local_base_freq"},
      {"rotary_pct", "1"},
      {"rotary_emb_base"},
      {"parallel_attn"},
      {"use_parallel_residual"},
      {"q_lora_rank"},
      {"kv_lora_rank"},
      {"v_head_dim"},
      {"n_routed_experts", "0"},
      {"n_shared_experts", "0"},
      {"num_experts", "0"},
      {"shared_expert_intermediate_size", "0"},
      {"moe_intermediate_size"},
      {"moe_layers"},
      {"mlp_only_layers"},
      {"decoder_sparse_step", "1"},
      {"first_k_dense_replace", "0"},
      {"interleave_moe_layer_step", "1"},
      {"scoring_func", "\"softmax\""},
      {"routed_scaling_factor", "1"},
      {"num_nextn_predict_layers", "0"},
  };
  refused.insert(refused.end(), more.begin(), more.end());
  return refused;
}

const std::vector<const Family*>& hugging_face_families() {
  static const std::vector<const Family*> families = {&llama(), &mistral(), &mixtral()};
  return families;
}

}  // namespace moxie::checkpoint
