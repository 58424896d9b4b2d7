#include "checkpoint/architecture.h"

#include "checkpoint/support.h"
#include "checkpoint/text.h"
#include "runtime/error.h"

namespace moxie::checkpoint {
namespace {

TEST(TensorNames, AreFilledAndMatched) {
  const std::string pattern = "layers.{l}.experts.{e}.w1.weight";
  EXPECT_EQ(tensor_name(pattern, 3, 12), "layers.3.experts.12.w1.weight");
  EXPECT_EQ(tensor_name("norm.weight", 3), "norm.weight");
  const auto place = match_tensor(pattern, "layers.3.experts.12.w1.weight");
  ASSERT_TRUE(place.has_value());
  EXPECT_EQ(place->layer, 3);
  EXPECT_EQ(place->expert, 12);
  for (const char* name :
       {"layers.03.experts.12.w1.weight", "layers.-3.experts.1.w1.weight", "layers..experts.1.w1.weight",
        "layers.3.experts.12.w1.weigh", "layers.3.experts.12.w1.weight2", "xlayers.3.experts.12.w1.weight",
        "layers.99999999999999999999.experts.1.w1.weight", "layers.3", ""}) {
    EXPECT_FALSE(match_tensor(pattern, name).has_value()) << name;
  }
  EXPECT_TRUE(match_tensor("norm.weight", "norm.weight").has_value());
  EXPECT_EQ(bias_name("a.q_proj.weight"), "a.q_proj.bias");
}

TEST(Activations, HaveTheNamesOfConfigurations) {
  EXPECT_EQ(activation_named("silu"), MOX_ACTIVATION_SILU);
  EXPECT_EQ(activation_named("swish"), MOX_ACTIVATION_SILU);
  EXPECT_EQ(activation_named("gelu"), MOX_ACTIVATION_GELU);
  EXPECT_EQ(activation_named("gelu_new"), MOX_ACTIVATION_GELU_TANH);
  EXPECT_EQ(activation_named("gelu_pytorch_tanh"), MOX_ACTIVATION_GELU_TANH);
  EXPECT_EQ(activation_named("relu"), MOX_ACTIVATION_RELU);
  EXPECT_EQ(activation_named("tanh"), std::nullopt);
  EXPECT_STREQ(activation_name(MOX_ACTIVATION_SILU), "silu");
}

TEST(Attention, WantsAnEvenNumberOfRotatingDimensions) {
  Architecture architecture;
  architecture.head_dim = 5;
  for (const int64_t dimensions : {0, 1, 5}) {
    architecture.rope.rotary_dim = dimensions;
    test::expect_refusal(MOX_INVALID_FILE, {"f/config.json: " + std::to_string(dimensions) + " of the 5", "even"},
                         [&] { require_attention(architecture, "f/config.json"); });
  }
  architecture.rope.rotary_dim = 4;
  EXPECT_NO_THROW(require_attention(architecture, "f"));
}

TEST(Text, KnowsUtf8) {
  EXPECT_TRUE(is_utf8("a\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80"));
  for (const char* bad : {"\x80", "\xc3", "\xc0\x80", "\xc1\xbf", "\xe0\x80\x80", "\xed\xa0\x80", "\xf0\x80\x80\x80",
                          "\xf4\x90\x80\x80", "\xf5\x80\x80\x80", "\xe2\x82", "\xff"}) {
    EXPECT_FALSE(is_utf8(bad)) << quote(bad);
  }
  EXPECT_EQ(quote("a\"\n\x7f\xff\xc3\xa4"), "\"a\"\\x0a\\x7f\\xff\xc3\xa4\"");
}

}  // namespace
}  // namespace moxie::checkpoint
