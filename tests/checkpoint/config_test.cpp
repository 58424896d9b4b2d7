#include "checkpoint/config.h"

#include "checkpoint/support.h"
#include "runtime/error.h"

namespace moxie::checkpoint {
namespace {

using test::expect_refusal;

// A configuration with nothing but what every family must state.
Json minimal(const std::string& model_type) {
  return Json{{"model_type", model_type}, {"hidden_size", 64},         {"intermediate_size", 96},
              {"num_hidden_layers", 4},   {"num_attention_heads", 16}, {"vocab_size", 50}};
}

Json params() {
  return Json{{"dim", 64},    {"n_layers", 4},   {"head_dim", 16},   {"hidden_dim", 96},
              {"n_heads", 4}, {"n_kv_heads", 2}, {"norm_eps", 1e-5}, {"vocab_size", 50}};
}

Architecture read(const Json& config) {
  return config.contains("dim") ? read_mistral_params(config, "f/params.json")
                                : read_hugging_face_config(config, "f/config.json");
}

Json with(Json config, const std::string& field, const Json& value) {
  config[field] = value;
  return config;
}

void refuse(const Json& config, const std::vector<std::string>& parts, mox_status status = MOX_INVALID_FILE) {
  expect_refusal(status, parts, [&] { (void)read(config); });
}

TEST(LlamaConfig, HasItsDefaults) {
  const Architecture a = read(minimal("llama"));
  EXPECT_EQ(a.family, "llama");
  EXPECT_EQ(a.format, "Hugging Face");
  EXPECT_EQ(a.hidden, 64);
  EXPECT_EQ(a.ffn, 96);
  EXPECT_EQ(a.vocabulary, 50);
  EXPECT_EQ(a.layers, 4);
  EXPECT_EQ(a.heads, 16);
  EXPECT_EQ(a.kv_heads, 16);
  EXPECT_EQ(a.head_dim, 4);
  EXPECT_EQ(a.norm_epsilon, 1e-6);
  EXPECT_EQ(a.max_positions, 2048);
  EXPECT_EQ(a.activation, MOX_ACTIVATION_SILU);
  EXPECT_EQ(a.experts, 0);
  EXPECT_FALSE(a.tied_embeddings || a.attention_bias || a.output_bias || a.feed_forward_bias);
  EXPECT_THAT(a.windows, testing::ElementsAre(0, 0, 0, 0));
  EXPECT_EQ(a.rope.theta, 1e4);
  EXPECT_EQ(a.rope.scaling, RopeScaling::none);
  EXPECT_FALSE(a.rope.interleaved);
  EXPECT_EQ(a.rope.rotary_dim, 4);
  EXPECT_EQ(a.bos_token, -1);
  EXPECT_EQ(a.eos_token, -1);
  EXPECT_TRUE(a.names.router.empty());
  EXPECT_EQ(a.names.down, "model.layers.{l}.mlp.down_proj.weight");
}

TEST(MistralConfig, HasItsDefaults) {
  const Architecture a = read(minimal("mistral"));
  EXPECT_EQ(a.kv_heads, 8);
  EXPECT_EQ(a.norm_epsilon, 1e-6);
  EXPECT_EQ(a.max_positions, 131072);
  EXPECT_EQ(a.rope.theta, 1e4);
  EXPECT_THAT(a.windows, testing::ElementsAre(4096, 4096, 4096, 4096));
}

TEST(MixtralConfig, HasItsDefaults) {
  const Architecture a = read(minimal("mixtral"));
  EXPECT_EQ(a.kv_heads, 8);
  EXPECT_EQ(a.norm_epsilon, 1e-5);
  EXPECT_EQ(a.rope.theta, 1e6);
  EXPECT_EQ(a.experts, 8);
  EXPECT_EQ(a.top_k, 2);
  EXPECT_THAT(a.windows, testing::Each(0));
  EXPECT_TRUE(a.names.gate.empty());
  EXPECT_EQ(a.names.expert_down, "model.layers.{l}.block_sparse_moe.experts.{e}.w2.weight");
}

TEST(Config, TellsNullFromAbsent) {
  EXPECT_THAT(read(with(minimal("mistral"), "sliding_window", nullptr)).windows, testing::Each(0));
  EXPECT_THAT(read(with(minimal("mistral"), "sliding_window", 8)).windows, testing::Each(8));
  EXPECT_THAT(read(with(minimal("mixtral"), "sliding_window", 8)).windows, testing::Each(8));
  EXPECT_EQ(read(with(minimal("mistral"), "num_key_value_heads", nullptr)).kv_heads, 16);
  EXPECT_EQ(read(with(minimal("mistral"), "head_dim", nullptr)).head_dim, 4);
  EXPECT_EQ(read(with(minimal("mistral"), "head_dim", 10)).head_dim, 10);
}

TEST(Config, ReadsWhatIsStated) {
  Json config = minimal("llama");
  config.update(Json{{"attention_bias", true},
                     {"mlp_bias", true},
                     {"tie_word_embeddings", true},
                     {"rope_theta", 5e5},
                     {"hidden_act", "gelu_new"},
                     {"num_key_value_heads", 4},
                     {"rms_norm_eps", 1e-3},
                     {"max_position_embeddings", 77},
                     {"bos_token_id", 1},
                     {"eos_token_id", {2, 3}}});
  const Architecture a = read(config);
  EXPECT_TRUE(a.attention_bias && a.output_bias && a.feed_forward_bias && a.tied_embeddings);
  EXPECT_EQ(a.rope.theta, 5e5);
  EXPECT_EQ(a.activation, MOX_ACTIVATION_GELU_TANH);
  EXPECT_EQ(a.kv_heads, 4);
  EXPECT_EQ(a.norm_epsilon, 1e-3);
  EXPECT_EQ(a.max_positions, 77);
  EXPECT_EQ(a.bos_token, 1);
  EXPECT_EQ(a.eos_token, -1);
  EXPECT_EQ(read(with(minimal("llama"), "eos_token_id", 49)).eos_token, 49);
}

TEST(Config, RefusesOtherFamilies) {
  for (const char* type : {"qwen2", "gemma", "phi3", "deepseek_v3", "gpt_oss", "transformer", "LLAMA"}) {
    refuse(minimal(type), {"f/config.json: model_type is \"" + std::string(type) + "\"", "llama, mistral, mixtral"},
           MOX_UNSUPPORTED);
  }
  refuse(Json{{"hidden_size", 4}}, {"model_type is missing", "llama, mistral, mixtral"});
  refuse(with(minimal("llama"), "model_type", 3), {"model_type is 3; expected a string"});
}

TEST(Config, WantsSizes) {
  for (const char* field :
       {"hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "vocab_size"}) {
    Json config = minimal("llama");
    config.erase(field);
    refuse(config, {"f/config.json: " + std::string(field) + " is missing; expected an integer"});
    for (const Json& bad : {Json("48"), Json(0), Json(-1), Json(4.5), Json(true), Json(int64_t{1} << 40), Json{48}}) {
      refuse(with(minimal("llama"), field, bad),
             {std::string(field) + " is " + show(bad), "expected an integer from 1"});
    }
  }
  refuse(with(minimal("llama"), "num_hidden_layers", 10001), {"10001", "from 1 to 10000"});
  refuse(with(minimal("llama"), "hidden_size", (1 << 20) + 1), {"hidden_size is 1048577", "1048576"});
}

TEST(Config, RefusesHeadsThatDoNotFit) {
  refuse(with(minimal("llama"), "num_key_value_heads", 3), {"num_key_value_heads is 3", "divisor", "16"});
  refuse(with(minimal("llama"), "num_key_value_heads", 0), {"num_key_value_heads is 0"});
  refuse(with(minimal("llama"), "num_key_value_heads", 32), {"num_key_value_heads is 32"});
  refuse(with(minimal("mistral"), "num_attention_heads", 4), {"num_key_value_heads is missing", "its default is 8"});
  refuse(with(minimal("llama"), "head_dim", 0), {"head_dim is 0"});
  refuse(with(minimal("llama"), "num_attention_heads", 128), {"head_dim is missing", "less than 1"});
}

TEST(Config, RefusesExpertsThatDoNotFit) {
  const Json mixtral = minimal("mixtral");
  refuse(with(mixtral, "num_local_experts", 0), {"num_local_experts is 0", "from 1 to 4096"});
  refuse(with(mixtral, "num_local_experts", 4097), {"num_local_experts is 4097"});
  refuse(with(mixtral, "num_local_experts", nullptr), {"num_local_experts is null"});
  refuse(with(mixtral, "num_experts_per_tok", 9), {"num_experts_per_tok is 9", "from 1 to 8"});
  refuse(with(mixtral, "num_experts_per_tok", 0), {"num_experts_per_tok is 0"});
  refuse(with(mixtral, "num_local_experts", 1), {"num_experts_per_tok is missing", "at most num_local_experts, 1"});
  EXPECT_EQ(read(with(mixtral, "num_local_experts", 4096)).experts, 4096);
}

TEST(Config, RefusesNumbersOutOfRange) {
  for (const Json& bad : {Json(0), Json(-1e-6), Json(2), Json("1e-6"), Json(false)}) {
    refuse(with(minimal("llama"), "rms_norm_eps", bad), {"rms_norm_eps is " + show(bad), "above 0 and at most 1"});
  }
  for (const Json& bad : {Json(0), Json(-1), Json(1e16), Json("x")}) {
    refuse(with(minimal("llama"), "rope_theta", bad), {"rope_theta is " + show(bad), "a number from 1 to 1e+15"});
  }
  for (const Json& bad : {Json(0), Json(-8), Json("8"), Json{8}, Json(8.5)}) {
    refuse(with(minimal("mistral"), "sliding_window", bad), {"sliding_window is " + show(bad), "an integer from 1"});
  }
  refuse(with(minimal("llama"), "max_position_embeddings", 0), {"max_position_embeddings is 0"});
  refuse(with(minimal("llama"), "attention_bias", 1), {"attention_bias is 1", "true or false"});
  refuse(with(minimal("llama"), "tie_word_embeddings", "yes"), {"tie_word_embeddings is \"yes\""});
}

TEST(Config, RefusesOtherActivations) {
  for (const char* name : {"tanh", "quick_gelu", "relu2", "SiLU", ""}) {
    refuse(with(minimal("llama"), "hidden_act", name),
           {"hidden_act is \"" + std::string(name) + "\"", "silu, swish, gelu, gelu_new, gelu_pytorch_tanh, relu"},
           MOX_UNSUPPORTED);
  }
}

TEST(Config, RefusesFieldsThatChangeTheResult) {
  const std::vector<std::pair<std::string, Json>> fields = {{"quantization_config", {{"bits", 4}}},
                                                            {"attn_logit_softcapping", 50.0},
                                                            {"final_logit_softcapping", 30.0},
                                                            {"use_qk_norm", true},
                                                            {"clip_qkv", 8.0},
                                                            {"embedding_multiplier", 12.0},
                                                            {"residual_multiplier", 0.5},
                                                            {"logits_scaling", 2},
                                                            {"attention_multiplier", 0.1},
                                                            {"attention_chunk_size", 8192},
                                                            {"no_rope_layers", {1, 0}},
                                                            {"position_embedding_type", "alibi"},
                                                            {"n_shared_experts", 1},
                                                            {"text_config", {{"a", 1}}},
                                                            {"vision_config", {{"a", 1}}},
                                                            {"is_encoder_decoder", true},
                                                            {"pruned_heads", {{"0", {1}}}},
                                                            {"query_pre_attn_scalar", 256},
                                                            {"kv_lora_rank", 512},
                                                            {"is_causal", false},
                                                            {"first_k_dense_replace", 1},
                                                            {"scoring_func", "sigmoid"},
                                                            {"routed_scaling_factor", 2.5}};
  for (const char* family : {"llama", "mistral", "mixtral"}) {
    for (const auto& [name, value] : fields) {
      refuse(with(minimal(family), name, value), {"f/config.json: " + name + " is " + show(value), family},
             MOX_UNSUPPORTED);
    }
  }
  refuse(with(minimal("llama"), "sliding_window", 4096), {"sliding_window is 4096"}, MOX_UNSUPPORTED);
  refuse(with(minimal("llama"), "num_local_experts", 8), {"num_local_experts is 8"}, MOX_UNSUPPORTED);
  refuse(with(minimal("mistral"), "attention_bias", true), {"attention_bias is true"}, MOX_UNSUPPORTED);
  refuse(with(minimal("mixtral"), "mlp_bias", true), {"mlp_bias is true"}, MOX_UNSUPPORTED);
}

TEST(Config, PassesOverWhatChangesNothing) {
  Json config = minimal("llama");
  config.update(Json{{"torch_dtype", "bfloat16"},
                     {"dtype", "float16"},
                     {"attention_dropout", 0.5},
                     {"use_cache", false},
                     {"initializer_range", 7},
                     {"pretraining_tp", 2},
                     {"architectures", {"LlamaForCausalLM"}},
                     {"router_jitter_noise", 0.1},
                     {"never_heard_of", {{"a", {1, 2}}}},
                     {"quantization_config", nullptr},
                     {"pruned_heads", Json::object()},
                     {"embedding_multiplier", 1.0},
                     {"use_qk_norm", false},
                     {"mlp_only_layers", Json::array()},
                     {"position_embedding_type", "rope"},
                     {"is_causal", true}});
  EXPECT_EQ(read(config).hidden, 64);
}

TEST(Config, ChecksLayerTypes) {
  const auto types = [](const char* type) { return Json(std::vector<std::string>(4, type)); };
  EXPECT_NO_THROW((void)read(with(minimal("llama"), "layer_types", types("full_attention"))));
  EXPECT_NO_THROW((void)read(with(minimal("mistral"), "layer_types", types("sliding_attention"))));
  refuse(with(minimal("llama"), "layer_types", types("sliding_attention")),
         {"layer_types is", "\"full_attention\" for layer 0 of llama"}, MOX_UNSUPPORTED);
  refuse(with(minimal("mistral"), "layer_types", types("full_attention")), {"\"sliding_attention\" for layer 0"},
         MOX_UNSUPPORTED);
  refuse(with(minimal("llama"), "layer_types",
              Json{"full_attention", "full_attention", "linear_attention", "full_attention"}),
         {"for layer 2"}, MOX_UNSUPPORTED);
  refuse(with(minimal("llama"), "layer_types", Json{"full_attention"}), {"one for each of the 4 layers"});
  refuse(with(minimal("llama"), "layer_types", "full_attention"), {"expected an array"});
}

TEST(MistralParams, HaveTheirDefaults) {
  const Architecture a = read(params());
  EXPECT_EQ(a.family, "mistral-consolidated");
  EXPECT_EQ(a.format, "mistral consolidated");
  EXPECT_EQ(a.hidden, 64);
  EXPECT_EQ(a.ffn, 96);
  EXPECT_EQ(a.heads, 4);
  EXPECT_EQ(a.kv_heads, 2);
  EXPECT_EQ(a.head_dim, 16);
  EXPECT_EQ(a.norm_epsilon, 1e-5);
  EXPECT_EQ(a.rope.theta, 1e6);
  EXPECT_TRUE(a.rope.interleaved);
  EXPECT_EQ(a.max_positions, 0);
  EXPECT_EQ(a.experts, 0);
  EXPECT_THAT(a.windows, testing::Each(0));
  EXPECT_EQ(a.names.gate, "layers.{l}.feed_forward.w1.weight");
  EXPECT_TRUE(a.names.expert_gate.empty());
}

TEST(MistralParams, ReadRopeThetaAsTheReferenceDoes) {
  EXPECT_EQ(read(with(params(), "rope_theta", nullptr)).rope.theta, 1e6);
  EXPECT_EQ(read(with(params(), "rope_theta", 0)).rope.theta, 1e6);
  EXPECT_EQ(read(with(params(), "rope_theta", 1e4)).rope.theta, 1e4);
  refuse(with(params(), "rope_theta", 0.5), {"rope_theta is 0.5"});
  refuse(with(params(), "rope_theta", -1), {"rope_theta is -1"});
}

TEST(MistralParams, ReadExperts) {
  const Architecture a = read(with(params(), "moe", Json{{"num_experts", 5}, {"num_experts_per_tok", 3}}));
  EXPECT_EQ(a.experts, 5);
  EXPECT_EQ(a.top_k, 3);
  EXPECT_TRUE(a.names.gate.empty());
  EXPECT_EQ(a.names.router, "layers.{l}.feed_forward.gate.weight");
  EXPECT_EQ(read(with(params(), "moe", nullptr)).experts, 0);
  refuse(with(params(), "moe", 8), {"moe is 8; expected an object"});
  refuse(with(params(), "moe", Json{{"num_experts", 5}}), {"moe.num_experts_per_tok is missing"});
  refuse(with(params(), "moe", Json{{"num_experts_per_tok", 2}}), {"moe.num_experts is missing"});
  refuse(with(params(), "moe", Json{{"num_experts", 2}, {"num_experts_per_tok", 3}}), {"moe.num_experts_per_tok is 3"});
  refuse(with(params(), "moe", Json{{"num_experts", 4}, {"num_experts_per_tok", 2}, {"num_shared_experts", 1}}),
         {"moe.num_shared_experts is 1"}, MOX_UNSUPPORTED);
}

TEST(MistralParams, ReadWindows) {
  EXPECT_THAT(read(with(params(), "sliding_window", 8)).windows, testing::ElementsAre(8, 8, 8, 8));
  EXPECT_THAT(read(with(params(), "_sliding_window", 8)).windows, testing::ElementsAre(8, 8, 8, 8));
  EXPECT_THAT(read(with(params(), "sliding_window", Json{6, nullptr})).windows, testing::ElementsAre(6, 0, 6, 0));
  EXPECT_THAT(read(with(params(), "_sliding_window", Json{1, 2, 3, 4})).windows, testing::ElementsAre(1, 2, 3, 4));
  Json both = with(with(params(), "sliding_window", 8), "_sliding_window", 8);
  refuse(both, {"_sliding_window is 8", "nothing beside sliding_window"});
  EXPECT_THAT(read(with(both, "sliding_window", nullptr)).windows, testing::Each(8));
  refuse(with(params(), "sliding_window", Json{1, 2, 3}), {"sliding_window is [1,2,3]", "divides the 4 layers"});
  refuse(with(params(), "sliding_window", Json::array()), {"sliding_window is []"});
  refuse(with(params(), "sliding_window", Json{1, "2"}), {"positive integers and nulls"});
  refuse(with(params(), "sliding_window", Json{1, 0}), {"positive integers and nulls"});
  refuse(with(params(), "sliding_window", 0), {"sliding_window is 0"});
}

TEST(MistralParams, RefuseWhatTheyCannotBe) {
  refuse(with(params(), "model_type", "mamba"), {"f/params.json: model_type is \"mamba\"", "transformer"},
         MOX_UNSUPPORTED);
  EXPECT_NO_THROW((void)read(with(params(), "model_type", "transformer")));
  refuse(with(params(), "vision_encoder", Json{{"hidden_size", 8}}), {"vision_encoder is"}, MOX_UNSUPPORTED);
  refuse(with(params(), "quantization", Json{{"qformat_weight", "fp8"}}), {"quantization is"}, MOX_UNSUPPORTED);
  refuse(with(params(), "yarn", Json{{"factor", 2}}), {"yarn is"}, MOX_UNSUPPORTED);
  refuse(with(params(), "tied_embeddings", true), {"tied_embeddings is true"}, MOX_UNSUPPORTED);
  for (const char* field :
       {"dim", "n_layers", "head_dim", "hidden_dim", "n_heads", "n_kv_heads", "norm_eps", "vocab_size"}) {
    Json config = params();
    // The reader of these tests knows params.json by its dim.
    config.erase(field);
    expect_refusal(MOX_INVALID_FILE, {"f/params.json: " + std::string(field) + " is missing"},
                   [&] { (void)read_mistral_params(config, "f/params.json"); });
  }
  // Of the base, or limits of the reference: nothing to us.
  Json config = with(params(), "lora", Json{{"enable", true}, {"rank", 4}});
  EXPECT_NO_THROW((void)read(with(config, "max_batch_size", 32)));
}

}  // namespace
}  // namespace moxie::checkpoint
