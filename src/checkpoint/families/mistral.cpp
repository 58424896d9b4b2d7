// MistralForCausalLM: Llama's shape with a window in every layer, 4096 rows where config.json is silent.
#include "checkpoint/families/hugging_face.h"

namespace moxie::checkpoint {

const Family& mistral() {
  static const Family family = [] {
    Family f;
    f.model_type = f.name = "mistral";
    f.format = "Hugging Face";
    f.fields = hugging_face_fields();
    f.kv_heads = 8;
    f.head_dim = 0;
    f.norm_epsilon = 1e-6;
    f.max_positions = 131072;
    f.rope_theta = 1e4;
    f.rope_scaling = true;
    f.window = WindowRule::every_layer;
    f.window_when_absent = 4096;
    f.names = hugging_face_dense_names();
    f.refused = hugging_face_refused({{"attention_bias"}, {"mlp_bias"}, {"num_local_experts", "0"}});
    return f;
  }();
  return family;
}

}  // namespace moxie::checkpoint
