// LlamaForCausalLM: Llama 1 to 3 and the many checkpoints of that shape.
#include "checkpoint/families/hugging_face.h"

namespace moxie::checkpoint {

const Family& llama() {
  static const Family family = [] {
    Family f;
    f.model_type = f.name = "llama";
    f.format = "Hugging Face";
    f.fields = hugging_face_fields();
    f.fields.attention_bias = "attention_bias";
    f.fields.feed_forward_bias = "mlp_bias";
    f.kv_heads = 0;
    f.head_dim = 0;
    f.norm_epsilon = 1e-6;
    f.max_positions = 2048;
    f.rope_theta = 1e4;
    f.rope_scaling = true;
    f.names = hugging_face_dense_names();
    // Old checkpoints carry the rotary frequencies, which everyone recomputes.
    f.names.harmless = {"model.layers.{l}.self_attn.rotary_emb.inv_freq"};
    f.refused = hugging_face_refused({{"sliding_window"}, {"num_local_experts", "0"}});
    return f;
  }();
  return family;
}

}  // namespace moxie::checkpoint
