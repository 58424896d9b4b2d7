#include "checkpoint/checkpoints.h"

namespace moxie::test {

std::string llama_config(const std::string& more) {
  return R"({"model_type": "llama", "hidden_size": 8, "intermediate_size": 12, "num_hidden_layers": 1,)"
         R"( "num_attention_heads": 2, "num_key_value_heads": 1, "vocab_size": 5)" +
         more + "}";
}

Tensors llama_tensors() {
  return {{"lm_head.weight", {5, 8}},
          {"model.embed_tokens.weight", {5, 8}},
          {"model.layers.0.input_layernorm.weight", {8}},
          {"model.layers.0.mlp.down_proj.weight", {8, 12}},
          {"model.layers.0.mlp.gate_proj.weight", {12, 8}},
          {"model.layers.0.mlp.up_proj.weight", {12, 8}},
          {"model.layers.0.post_attention_layernorm.weight", {8}},
          {"model.layers.0.self_attn.k_proj.weight", {4, 8}},
          {"model.layers.0.self_attn.o_proj.weight", {8, 8}},
          {"model.layers.0.self_attn.q_proj.weight", {8, 8}},
          {"model.layers.0.self_attn.v_proj.weight", {4, 8}},
          {"model.norm.weight", {8}}};
}

std::string mistral_params(const std::string& more) {
  return R"({"dim": 8, "hidden_dim": 12, "n_layers": 1, "n_heads": 2, "n_kv_heads": 1, "head_dim": 4,)"
         R"( "vocab_size": 5, "norm_eps": 1e-5)" +
         more + "}";
}

Tensors mistral_tensors() {
  return {{"layers.0.attention.wk.weight", {4, 8}},
          {"layers.0.attention.wo.weight", {8, 8}},
          {"layers.0.attention.wq.weight", {8, 8}},
          {"layers.0.attention.wv.weight", {4, 8}},
          {"layers.0.attention_norm.weight", {8}},
          {"layers.0.feed_forward.w1.weight", {12, 8}},
          {"layers.0.feed_forward.w2.weight", {8, 12}},
          {"layers.0.feed_forward.w3.weight", {12, 8}},
          {"layers.0.ffn_norm.weight", {8}},
          {"norm.weight", {8}},
          {"output.weight", {5, 8}},
          {"tok_embeddings.weight", {5, 8}}};
}

std::string write_zero_archive(const TemporaryFolder& folder, const Tensors& tensors, const std::string& name,
                               char fill) {
  Archive archive;
  std::vector<std::pair<std::string, std::string>> items;
  for (const auto& [tensor, shape] : tensors) {
    int64_t elements = 1;
    std::vector<int64_t> stride(shape.size());
    for (size_t index = shape.size(); index-- > 0;) {
      stride[index] = elements;
      elements *= shape[index];
    }
    const std::string key = std::to_string(items.size());
    items.emplace_back(tensor, pickle::tensor(pickle::storage(key, elements), 0, shape, stride));
    archive.storages.emplace_back(key, std::string(static_cast<size_t>(4 * elements), fill));
  }
  archive.pickle = pickle::begin + pickle::dict(items) + pickle::end;
  return write_archive(folder, archive, name);
}

}  // namespace moxie::test
