// The files other implementations write: every one of them opens, and holds what it should.
#include <cmath>
#include <filesystem>
#include <map>

#include "checkpoint/adapter_tensors.h"
#include "checkpoint/checkpoint.h"
#include "checkpoint/json.h"
#include "checkpoint/roles.h"
#include "checkpoint/support.h"
#include "runtime/error.h"

namespace moxie::checkpoint {
namespace {

namespace fs = std::filesystem;

const std::string parity = std::string(MOXIE_TEST_DATA) + "/parity";

std::vector<std::string> folders(const std::string& kind) {
  std::vector<std::string> found;
  for (const auto& entry : fs::directory_iterator(parity + "/" + kind)) found.push_back(entry.path().string());
  std::sort(found.begin(), found.end());
  return found;
}

std::vector<float> read(const std::string& folder, const std::string& name) {
  const Checkpoint checkpoint = open_checkpoint(parity + "/bases/" + folder, false);
  TensorReader reader(*checkpoint.tensors);
  const int64_t index = checkpoint.tensors->find(name);
  if (index < 0) return {};
  return reader.read_float32(name, checkpoint.tensors->entries()[static_cast<size_t>(index)].shape);
}

TEST(ParityFiles, EveryBaseOpensOrIsOfAnotherFamily) {
  size_t opened = 0;
  for (const std::string& folder : folders("bases")) {
    SCOPED_TRACE(folder);
    const bool params = fs::exists(folder + "/params.json");
    const std::string type =
        params ? "mistral" : read_json_object(folder + "/config.json")["model_type"].get<std::string>();
    if (type == "llama" || type == "mistral" || type == "mixtral") {
      const Checkpoint checkpoint = open_checkpoint(folder, false);
      EXPECT_NO_THROW(refuse_unknown_tensors(checkpoint));
      // Some hold a lone feed-forward or block: tensors may be missing, but nothing else may be wrong.
      for (const std::string& problem : tensor_problems(checkpoint.architecture, *checkpoint.tensors)) {
        EXPECT_THAT(problem, testing::HasSubstr("missing"));
      }
      ++opened;
    } else {
      test::expect_refusal(MOX_UNSUPPORTED, {folder, "model_type", type},
                           [&] { (void)open_checkpoint(folder, false); });
    }
  }
  EXPECT_GE(opened, 40U);
}

TEST(ParityFiles, WholeModelsHaveNoProblems) {
  for (const char* name : {"llama-gqa", "llama-gqa-bf16", "llama-f16", "llama-tied-sharded", "llama-headdim-bias",
                           "llama5-llama3", "mistral-window", "mistral-plain", "mixtral", "mixtral-bf16",
                           "consolidated-mistral-window", "consolidated-mixtral", "consolidated-window-list"}) {
    const Checkpoint checkpoint = open_checkpoint(parity + "/bases/" + name, true);
    EXPECT_THAT(tensor_problems(checkpoint.architecture, *checkpoint.tensors), testing::IsEmpty()) << name;
    EXPECT_NO_THROW(require_attention(checkpoint.architecture, name));
  }
}

TEST(ParityFiles, AreResolvedAsTheirWritersMeantThem) {
  const auto open = [](const char* name) { return open_checkpoint(parity + "/bases/" + name, false).architecture; };
  const Architecture yarn = open("llama-rope-yarn");
  EXPECT_EQ(yarn.rope.scaling, RopeScaling::yarn);
  EXPECT_EQ(yarn.rope.original_positions, 16);
  EXPECT_NEAR(yarn.rope.attention_factor, 1.1386294361119891, 1e-15);
  const Architecture newer = open("llama5-llama3");
  EXPECT_EQ(newer.rope.scaling, RopeScaling::llama3);
  EXPECT_EQ(newer.rope.theta, 500);
  EXPECT_EQ(newer.rope.high_frequency_factor, 4);
  EXPECT_EQ(open("llama-rope-linear").rope.scaling, RopeScaling::linear);
  EXPECT_EQ(open("llama-rope-dynamic").rope.max_positions, 12);
  EXPECT_THAT(open("mistral-window").windows, testing::ElementsAre(8, 8));
  EXPECT_THAT(open("mistral-plain").windows, testing::ElementsAre(0, 0));
  EXPECT_EQ(open("mixtral").experts, 5);
  EXPECT_EQ(open("mixtral").head_dim, 10);
  EXPECT_EQ(open("llama-headdim-bias").head_dim, 20);
  EXPECT_TRUE(open("llama-headdim-bias").output_bias);
  EXPECT_TRUE(open("llama-tied-sharded").tied_embeddings);
  const Architecture list = open("consolidated-window-list");
  EXPECT_EQ(list.windows.size(), static_cast<size_t>(list.layers));
  EXPECT_EQ(list.windows[0], 6);
  EXPECT_EQ(list.rope.theta, 10000);
}

TEST(ParityFiles, TheTwoFormatsOfOneModelHoldTheSameWeights) {
  const std::map<std::string, std::string> same = {
      {"model.embed_tokens.weight", "tok_embeddings.weight"},
      {"model.norm.weight", "norm.weight"},
      {"lm_head.weight", "output.weight"},
      {"model.layers.1.input_layernorm.weight", "layers.1.attention_norm.weight"},
      {"model.layers.1.post_attention_layernorm.weight", "layers.1.ffn_norm.weight"},
      {"model.layers.1.self_attn.v_proj.weight", "layers.1.attention.wv.weight"},
      {"model.layers.1.self_attn.o_proj.weight", "layers.1.attention.wo.weight"},
      {"model.layers.1.block_sparse_moe.gate.weight", "layers.1.feed_forward.gate.weight"},
      {"model.layers.1.block_sparse_moe.experts.4.w1.weight", "layers.1.feed_forward.experts.4.w1.weight"},
      {"model.layers.1.block_sparse_moe.experts.4.w2.weight", "layers.1.feed_forward.experts.4.w2.weight"},
      {"model.layers.1.block_sparse_moe.experts.4.w3.weight", "layers.1.feed_forward.experts.4.w3.weight"}};
  for (const auto& [hugging_face, consolidated] : same) {
    const std::vector<float> values = read("mixtral", hugging_face);
    EXPECT_FALSE(values.empty()) << hugging_face;
    EXPECT_EQ(values, read("consolidated-mixtral", consolidated)) << hugging_face;
  }
}

TEST(ParityFiles, EveryAdapterOpens) {
  size_t opened = 0;
  for (const std::string& folder : folders("adapters")) {
    SCOPED_TRACE(folder);
    const auto source = open_adapter_tensors(folder);
    TensorReader reader(*source);
    for (const TensorEntry& entry : source->entries()) {
      const auto values = reader.read_float32(entry.name, entry.shape);
      EXPECT_TRUE(std::all_of(values.begin(), values.end(), [](float value) { return std::isfinite(value); }))
          << entry.name;
    }
    EXPECT_FALSE(source->entries().empty());
    ++opened;
  }
  EXPECT_GE(opened, 50U);
}

// One storage for all tensors, several of them transposed. The figures were read with NumPy.
TEST(ParityFiles, AnArchiveOfViewsReadsAsNumPyReadsIt) {
  const auto source = open_adapter_tensors(parity + "/adapters/h48-lora-archive");
  TensorReader reader(*source);
  const std::string module = "base_model.model.model.layers.0.mlp.";
  const auto check = [&](const std::string& name, const std::vector<int64_t>& shape, std::vector<float> begin,
                         double sum) {
    const auto values = reader.read_float32(module + name, shape);
    double total = 0;
    for (const float value : values) total += static_cast<double>(value);
    EXPECT_NEAR(total, sum, 1e-5) << name;
    for (size_t index = 0; index < begin.size(); ++index) EXPECT_NEAR(values[index], begin[index], 1e-7F) << name;
  };
  check("gate_proj.lora_A.weight", {3, 48}, {0.15177394F, 0.06770539F, 0.04503048F}, 0.46857643);
  check("gate_proj.lora_B.weight", {88, 3}, {0.01645815F, 0.02777192F, 0.07878984F}, 0.5894673);
  check("down_proj.lora_A.weight", {3, 88}, {-0.18830697F, -0.01826529F, 0.10863522F}, -5.0172787);
}

TEST(ParityFiles, ABfloat16ArchiveReadsAsNumPyReadsIt) {
  const auto source = open_adapter_tensors(parity + "/adapters/h48-mixlora-archive-bfloat16");
  TensorReader reader(*source);
  const auto gate = reader.read_float32("mixlora.layers.0.mlp.moe_gate.weight", {3, 48});
  EXPECT_EQ(gate[0], 0.0478515625F);
  EXPECT_EQ(gate[1], 0.2177734375F);
  EXPECT_EQ(gate[143], 0.07861328125F);
  EXPECT_EQ(source->entries()[static_cast<size_t>(source->find("mixlora.layers.0.mlp.moe_gate.weight"))].dtype,
            MOX_BF16);
}

}  // namespace
}  // namespace moxie::checkpoint
