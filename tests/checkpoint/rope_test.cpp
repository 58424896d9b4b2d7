#include <cmath>

#include "checkpoint/config.h"
#include "checkpoint/support.h"
#include "runtime/error.h"

namespace moxie::checkpoint {
namespace {

using test::expect_refusal;

Json config_with(const std::string& field, const Json& value) {
  Json config{
      {"model_type", "llama"},    {"hidden_size", 64}, {"intermediate_size", 96}, {"num_hidden_layers", 1},
      {"num_attention_heads", 4}, {"vocab_size", 50},  {"rope_theta", 500.0},     {"max_position_embeddings", 128}};
  config[field] = value;
  return config;
}

Rope read(const Json& config) { return read_hugging_face_config(config, "f/config.json").rope; }
Rope scaled(const Json& scaling) { return read(config_with("rope_scaling", scaling)); }
void refuse(const Json& config, const std::vector<std::string>& parts, mox_status status = MOX_INVALID_FILE) {
  expect_refusal(status, parts, [&] { (void)read(config); });
}
void refuse_scaling(const Json& scaling, const std::vector<std::string>& parts, mox_status status = MOX_INVALID_FILE) {
  refuse(config_with("rope_scaling", scaling), parts, status);
}

TEST(Rope, MayBePlain) {
  for (const Json& nothing :
       {Json(nullptr), Json::object(), Json{{"rope_type", "default"}}, Json{{"type", "default"}}}) {
    const Rope rope = scaled(nothing);
    EXPECT_EQ(rope.scaling, RopeScaling::none);
    EXPECT_EQ(rope.theta, 500);
    EXPECT_EQ(rope.rotary_dim, 16);
    EXPECT_EQ(rope.max_positions, 128);
    EXPECT_EQ(rope.attention_factor, 1);
  }
}

TEST(Rope, ReadsRopeParameters) {
  Json config = config_with("rope_parameters", Json{{"rope_type", "default"}, {"rope_theta", 7000.0}});
  EXPECT_EQ(read(config).theta, 7000);
  config.erase("rope_theta");
  EXPECT_EQ(read(config).theta, 7000);
  config["rope_parameters"] = Json{{"rope_theta", 9000.0}};
  EXPECT_EQ(read(config).theta, 9000);
  config["rope_parameters"] = Json{{"rope_type", "linear"}, {"factor", 2.0}};
  EXPECT_EQ(read(config).theta, 10000);
  EXPECT_EQ(read(config).scaling, RopeScaling::linear);
}

TEST(Rope, ReadsLinearAndDynamic) {
  const Rope linear = scaled({{"type", "linear"}, {"factor", 4}});
  EXPECT_EQ(linear.scaling, RopeScaling::linear);
  EXPECT_EQ(linear.factor, 4);
  const Rope dynamic = scaled({{"rope_type", "dynamic"}, {"factor", 2.5}});
  EXPECT_EQ(dynamic.scaling, RopeScaling::dynamic);
  EXPECT_EQ(dynamic.factor, 2.5);
  EXPECT_EQ(dynamic.max_positions, 128);
  for (const char* kind : {"linear", "dynamic"}) {
    refuse_scaling({{"rope_type", kind}}, {"f/config.json: rope_scaling.factor is missing"});
    refuse_scaling({{"rope_type", kind}, {"factor", 0}}, {"rope_scaling.factor is 0", "above 0"});
    refuse_scaling({{"rope_type", kind}, {"factor", "2"}}, {"rope_scaling.factor is \"2\""});
    refuse_scaling({{"rope_type", kind}, {"factor", -1}}, {"rope_scaling.factor is -1"});
  }
  Json narrow = config_with("rope_scaling", {{"rope_type", "dynamic"}, {"factor", 2}});
  narrow["head_dim"] = 2;
  refuse(narrow, {"rope_type", "more than 2 dimensions"}, MOX_UNSUPPORTED);
}

TEST(Rope, ReadsLlama3) {
  const Json full{{"rope_type", "llama3"},
                  {"factor", 8.0},
                  {"low_freq_factor", 1.0},
                  {"high_freq_factor", 4.0},
                  {"original_max_position_embeddings", 16}};
  const Rope rope = scaled(full);
  EXPECT_EQ(rope.scaling, RopeScaling::llama3);
  EXPECT_EQ(rope.factor, 8);
  EXPECT_EQ(rope.low_frequency_factor, 1);
  EXPECT_EQ(rope.high_frequency_factor, 4);
  EXPECT_EQ(rope.original_positions, 16);
  for (const char* field : {"factor", "low_freq_factor", "high_freq_factor", "original_max_position_embeddings"}) {
    Json missing = full;
    missing.erase(field);
    refuse_scaling(missing, {"rope_scaling." + std::string(field) + " is missing"});
  }
  Json equal = full;
  equal["high_freq_factor"] = 1.0;
  refuse_scaling(equal, {"high_freq_factor is 1", "more than low_freq_factor"});
}

TEST(Rope, ReadsYarn) {
  const Rope plain = scaled({{"rope_type", "yarn"}, {"factor", 4.0}});
  EXPECT_EQ(plain.scaling, RopeScaling::yarn);
  EXPECT_EQ(plain.original_positions, 128);
  EXPECT_EQ(plain.beta_fast, 32);
  EXPECT_EQ(plain.beta_slow, 1);
  EXPECT_TRUE(plain.truncate);
  EXPECT_DOUBLE_EQ(plain.attention_factor, 0.1 * std::log(4.0) + 1);

  const Rope full = scaled({{"rope_type", "yarn"},
                            {"factor", 4.0},
                            {"original_max_position_embeddings", 16},
                            {"beta_fast", 4.0},
                            {"beta_slow", 0.5},
                            {"truncate", false},
                            {"attention_factor", 1.5}});
  EXPECT_EQ(full.original_positions, 16);
  EXPECT_EQ(full.beta_fast, 4);
  EXPECT_EQ(full.beta_slow, 0.5);
  EXPECT_FALSE(full.truncate);
  EXPECT_EQ(full.attention_factor, 1.5);

  const auto factor = [](const Json& more) {
    Json scaling{{"rope_type", "yarn"}, {"factor", 40.0}};
    scaling.update(more);
    return scaled(scaling).attention_factor;
  };
  const double log = std::log(40.0);
  EXPECT_DOUBLE_EQ(factor({{"mscale", 1.0}, {"mscale_all_dim", 0.707}}), (0.1 * log + 1) / (0.0707 * log + 1));
  EXPECT_DOUBLE_EQ(factor({{"mscale", 1.0}}), 0.1 * log + 1);
  EXPECT_DOUBLE_EQ(factor({{"mscale", 1.0}, {"mscale_all_dim", 0}}), 0.1 * log + 1);
  EXPECT_EQ(factor({{"factor", 1.0}}), 1);

  refuse_scaling({{"rope_type", "yarn"}}, {"rope_scaling.factor is missing"});
  refuse_scaling({{"rope_type", "yarn"}, {"factor", 2}, {"truncate", 1}}, {"rope_scaling.truncate is 1"});
  refuse_scaling({{"rope_type", "yarn"}, {"factor", 2}, {"attention_factor", 0}}, {"attention_factor is 0"});
  refuse_scaling({{"rope_type", "yarn"}, {"factor", 2}, {"beta_fast", 1}, {"beta_slow", 2}},
                 {"beta_fast is 1", "beta_slow"});
  Json flat = config_with("rope_scaling", {{"rope_type", "yarn"}, {"factor", 2}});
  flat["rope_theta"] = 1;
  refuse(flat, {"rope_theta is 1", "more than 1"});
}

TEST(Rope, ReadsLongrope) {
  const std::vector<double> ones(8, 1.0), twos(8, 2.0);
  Json scaling{{"rope_type", "longrope"}, {"short_factor", ones}, {"long_factor", twos}};
  Json config = config_with("rope_scaling", scaling);
  config["original_max_position_embeddings"] = 32;
  const Rope rope = read(config);
  EXPECT_EQ(rope.scaling, RopeScaling::longrope);
  EXPECT_EQ(rope.original_positions, 32);
  EXPECT_EQ(rope.factor, 4);
  EXPECT_DOUBLE_EQ(rope.attention_factor, std::sqrt(1 + std::log(4.0) / std::log(32.0)));
  EXPECT_EQ(rope.short_factor, ones);
  EXPECT_EQ(rope.long_factor, twos);

  config["original_max_position_embeddings"] = 128;
  EXPECT_EQ(read(config).attention_factor, 1);
  config["rope_scaling"]["attention_factor"] = 1.25;
  EXPECT_EQ(read(config).attention_factor, 1.25);

  // Without the original length, `factor` counts; without both, nothing is scaled.
  scaling["type"] = "longrope";
  EXPECT_EQ(scaled(scaling).attention_factor, 1);
  EXPECT_EQ(scaled(scaling).original_positions, 128);
  scaling["factor"] = 2.0;
  EXPECT_DOUBLE_EQ(scaled(scaling).attention_factor, std::sqrt(1 + std::log(2.0) / std::log(128.0)));
  EXPECT_EQ(scaled({{"type", "su"}, {"short_factor", ones}, {"long_factor", twos}}).scaling, RopeScaling::longrope);

  for (const char* list : {"short_factor", "long_factor"}) {
    Json bad = scaling;
    bad.erase(list);
    refuse_scaling(bad, {"rope_scaling." + std::string(list) + " is missing", "8 positive numbers"});
    bad[list] = std::vector<double>(7, 1.0);
    refuse_scaling(bad, {std::string(list) + " is [1", "8 positive numbers"});
    bad[list] = std::vector<double>(8, 0.0);
    refuse_scaling(bad, {"8 positive numbers"});
    bad[list] = std::vector<std::string>(8, "1");
    refuse_scaling(bad, {"8 positive numbers"});
    bad[list] = 1;
    refuse_scaling(bad, {std::string(list) + " is 1", "an array"});
  }
}

TEST(Rope, ReadsPartialRotation) {
  EXPECT_EQ(read(config_with("partial_rotary_factor", 0.4)).rotary_dim, 6);
  EXPECT_EQ(
      read(config_with("rope_parameters", Json{{"rope_type", "default"}, {"partial_rotary_factor", 0.5}})).rotary_dim,
      8);
  for (const Json& bad : {Json(0), Json(1.5), Json(-1), Json("half")}) {
    refuse(config_with("partial_rotary_factor", bad), {"partial_rotary_factor is " + show(bad), "at most 1"});
  }
}

TEST(Rope, RefusesWhatItDoesNotKnow) {
  refuse_scaling({{"rope_type", "mrope"}, {"factor", 2}}, {"rope_scaling.rope_type is \"mrope\"", "longrope"},
                 MOX_UNSUPPORTED);
  refuse_scaling({{"type", "ntk"}, {"factor", 2}}, {"rope_scaling.type is \"ntk\"", "llama3"}, MOX_UNSUPPORTED);
  refuse_scaling({{"factor", 2}}, {"rope_scaling.rope_type is missing", "dynamic"});
  refuse_scaling({{"rope_type", 3}}, {"rope_scaling.rope_type is 3", "a string"});
  refuse_scaling({{"rope_type", "linear"}, {"type", "yarn"}, {"factor", 2}},
                 {"rope_scaling.type is \"yarn\"", "linear"});
  refuse_scaling({{"type", "default"}, {"mrope_section", {1, 2}}}, {"mrope_section is [1,2]"}, MOX_UNSUPPORTED);
  refuse_scaling("linear", {"rope_scaling is \"linear\"; expected an object"});
  refuse(config_with("rope_parameters", Json{{"full_attention", {{"rope_type", "default"}}}}),
         {"rope_parameters.full_attention is", "one rotary embedding"}, MOX_UNSUPPORTED);
  Json both = config_with("rope_scaling", Json{{"rope_type", "linear"}, {"factor", 2}});
  both["rope_parameters"] = Json{{"rope_type", "linear"}, {"factor", 3}};
  refuse(both, {"rope_scaling is", "rope_parameters is", "one of them"});
}

}  // namespace
}  // namespace moxie::checkpoint
