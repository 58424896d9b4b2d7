#include "checkpoint/checkpoint.h"

#include <filesystem>

#include "checkpoint/checkpoints.h"
#include "checkpoint/roles.h"
#include "checkpoint/text.h"
#include "runtime/error.h"

namespace moxie::checkpoint {
namespace {

using test::expect_refusal;
using test::Tensors;
using test::zero_safetensors;

class CheckpointTest : public testing::Test {
 protected:
  void write_llama(const Tensors& tensors = test::llama_tensors(), const std::string& more = "",
                   const std::string& dtype = "F32") const {
    folder_.write("config.json", test::llama_config(more));
    folder_.write("model.safetensors", zero_safetensors(tensors, dtype));
  }
  void write_shards(const std::string& weight_map) const {
    folder_.write("config.json", test::llama_config());
    folder_.write("model.safetensors.index.json", R"({"metadata": {}, "weight_map": {)" + weight_map + "}}");
  }
  [[nodiscard]] Checkpoint open() const { return open_checkpoint(folder_.path(), false); }
  void refuse(mox_status status, std::vector<std::string> parts) const {
    parts.push_back(folder_.path());
    expect_refusal(status, parts, [&] { (void)open(); });
  }
  [[nodiscard]] std::vector<std::string> problems() const {
    const Checkpoint checkpoint = open();
    return tensor_problems(checkpoint.architecture, *checkpoint.tensors);
  }
  test::TemporaryFolder folder_;
};

TEST_F(CheckpointTest, OpensOneFile) {
  write_llama();
  for (const bool map : {false, true}) {
    const Checkpoint checkpoint = open_checkpoint(folder_.path(), map);
    EXPECT_EQ(checkpoint.folder, folder_.path());
    EXPECT_EQ(checkpoint.architecture.family, "llama");
    EXPECT_EQ(checkpoint.tensors->entries().size(), 12U);
    EXPECT_NO_THROW(refuse_unknown_tensors(checkpoint));
  }
  EXPECT_THAT(problems(), testing::IsEmpty());
}

TEST_F(CheckpointTest, OpensConsolidatedFiles) {
  folder_.write("params.json", test::mistral_params());
  folder_.write("consolidated.safetensors", zero_safetensors(test::mistral_tensors()));
  EXPECT_EQ(open().architecture.family, "mistral-consolidated");
  EXPECT_THAT(problems(), testing::IsEmpty());

  std::filesystem::remove(folder_.file("consolidated.safetensors"));
  test::write_zero_archive(folder_, test::mistral_tensors(), "consolidated.00.pth");
  EXPECT_EQ(open().tensors->entries()[0].file, "consolidated.00.pth");
  EXPECT_THAT(problems(), testing::IsEmpty());

  folder_.write("consolidated.safetensors", zero_safetensors(test::mistral_tensors()));
  refuse(MOX_INVALID_FILE, {"both consolidated.safetensors and consolidated.00.pth"});
  std::filesystem::remove(folder_.file("consolidated.safetensors"));
  folder_.write("consolidated.01.pth", "");
  refuse(MOX_UNSUPPORTED, {"consolidated.01.pth"});
}

TEST_F(CheckpointTest, PrefersTheHuggingFaceFiles) {
  write_llama();
  folder_.write("params.json", test::mistral_params());
  folder_.write("consolidated.safetensors", zero_safetensors(test::mistral_tensors()));
  EXPECT_EQ(open().architecture.family, "llama");
  std::filesystem::remove(folder_.file("model.safetensors"));
  EXPECT_EQ(open().architecture.family, "mistral-consolidated");
}

TEST_F(CheckpointTest, NamesWhatIsNotThere) {
  expect_refusal(MOX_NOT_FOUND, {"/nonexistent/model", "no such folder"},
                 [] { (void)open_checkpoint("/nonexistent/model", false); });
  refuse(MOX_NOT_FOUND, {"neither config.json nor params.json"});
  folder_.write("config.json", test::llama_config());
  refuse(MOX_NOT_FOUND, {"config.json but neither model.safetensors nor model.safetensors.index.json"});
  std::filesystem::remove(folder_.file("config.json"));
  folder_.write("params.json", test::mistral_params());
  refuse(MOX_NOT_FOUND, {"params.json but neither consolidated.safetensors nor consolidated.00.pth"});
  const std::string file = folder_.write("file", "");
  expect_refusal(MOX_NOT_FOUND, {file, "is not a folder"}, [&] { (void)open_checkpoint(file, false); });
}

TEST_F(CheckpointTest, RefusesAnIndexBesideOneFile) {
  write_llama();
  folder_.write("model.safetensors.index.json", "{}");
  refuse(MOX_INVALID_FILE, {"both model.safetensors and model.safetensors.index.json"});
}

TEST_F(CheckpointTest, RefusesBrokenConfigurations) {
  write_llama();
  folder_.write("config.json", "{\"model_type\": ");
  refuse(MOX_INVALID_FILE, {folder_.file("config.json"), "not JSON"});
  folder_.write("config.json", "[]");
  refuse(MOX_INVALID_FILE, {folder_.file("config.json"), "expected an object"});
  folder_.write("config.json", test::llama_config(R"(, "hidden_size": 8)"));
  refuse(MOX_INVALID_FILE, {"duplicate key \"hidden_size\""});
  folder_.write("config.json", std::string((16 << 20) + 1, ' '));
  refuse(MOX_INVALID_FILE, {"16777217 bytes", "at most 16777216"});
}

TEST_F(CheckpointTest, RefusesUnknownTensors) {
  Tensors tensors = test::llama_tensors();
  tensors.push_back({"model.layers.0.mlp.gate_proj.bias", {12}});
  write_llama(tensors);
  expect_refusal(MOX_INVALID_FILE,
                 {folder_.file("model.safetensors"), "llama", "tensor \"model.layers.0.mlp.gate_proj.bias\""},
                 [&] { refuse_unknown_tensors(open()); });
  tensors.push_back({"model.layers.1.mlp.gate_proj.weight", {12, 8}});
  tensors.push_back({"model.layers.00.mlp.gate_proj.weight", {12, 8}});
  write_llama(tensors);
  expect_refusal(
      MOX_INVALID_FILE,
      {"3 of its tensors", "\"model.layers.1.mlp.gate_proj.weight\"", "\"model.layers.00.mlp.gate_proj.weight\""},
      [&] { refuse_unknown_tensors(open()); });
}

TEST_F(CheckpointTest, KnowsBiasesTiedHeadsAndOldBuffers) {
  Tensors tensors = test::llama_tensors();
  for (const auto& [name, out] : Tensors{{"self_attn.q_proj", {8}},
                                         {"self_attn.k_proj", {4}},
                                         {"self_attn.v_proj", {4}},
                                         {"self_attn.o_proj", {8}},
                                         {"mlp.gate_proj", {12}},
                                         {"mlp.up_proj", {12}},
                                         {"mlp.down_proj", {8}}}) {
    tensors.push_back({"model.layers.0." + name + ".bias", out});
  }
  tensors.push_back({"model.layers.0.self_attn.rotary_emb.inv_freq", {2}});
  write_llama(tensors, R"(, "attention_bias": true, "mlp_bias": true, "tie_word_embeddings": true)");
  EXPECT_NO_THROW(refuse_unknown_tensors(open()));
  EXPECT_THAT(problems(), testing::IsEmpty());
  tensors.erase(tensors.begin());
  ASSERT_EQ(tensors[0].first, "model.embed_tokens.weight");
  write_llama(tensors, R"(, "attention_bias": true, "mlp_bias": true, "tie_word_embeddings": true)");
  EXPECT_THAT(problems(), testing::IsEmpty());
  write_llama(tensors, R"(, "attention_bias": true, "mlp_bias": true)");
  EXPECT_THAT(problems(), testing::ElementsAre(testing::HasSubstr("tensor \"lm_head.weight\" is missing")));
}

TEST_F(CheckpointTest, ListsProblems) {
  Tensors tensors = test::llama_tensors();
  tensors[2].second = {9};
  tensors[3].first = "model.layers.0.mlp.dwon_proj.weight";
  tensors.pop_back();
  write_llama(tensors);
  EXPECT_THAT(
      problems(),
      testing::UnorderedElementsAre(
          folder_.file("model.safetensors") + ": tensor \"model.layers.0.input_layernorm.weight\" is [9]; expected [8]",
          testing::AllOf(testing::HasSubstr("\"model.layers.0.mlp.dwon_proj.weight\""), testing::HasSubstr("no use")),
          testing::HasSubstr("2 tensors are missing: \"model.norm.weight\", \"model.layers.0.mlp.down_proj.weight\"")));
  write_llama(test::llama_tensors(), "", "I32");
  EXPECT_THAT(problems(),
              testing::AllOf(testing::SizeIs(12), testing::Each(testing::HasSubstr("is int32; expected float32"))));
}

TEST_F(CheckpointTest, DoesNotWalkThroughWhatAHostileConfigurationPromises) {
  write_llama();
  folder_.write("config.json",
                R"({"model_type": "mixtral", "hidden_size": 8, "intermediate_size": 12, "num_hidden_layers": 10000,)"
                R"( "num_attention_heads": 8, "vocab_size": 5, "num_local_experts": 4096})");
  EXPECT_THAT(problems(), testing::Contains(testing::HasSubstr("122949994 tensors are missing")));
}

TEST_F(CheckpointTest, OpensShards) {
  folder_.write("a.safetensors", zero_safetensors({{"x", {2}}, {"z", {3}}}));
  folder_.write("b.safetensors",
                test::safetensors(R"({"y":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})", test::floats({7})));
  write_shards(R"("x": "a.safetensors", "y": "b.safetensors", "z": "a.safetensors")");
  for (const bool map : {false, true}) {
    const Checkpoint checkpoint = open_checkpoint(folder_.path(), map);
    ASSERT_EQ(checkpoint.tensors->entries().size(), 3U);
    EXPECT_EQ(checkpoint.tensors->entries()[1].name, "y");
    EXPECT_EQ(checkpoint.tensors->entries()[1].file, "b.safetensors");
    float value = 0;
    checkpoint.tensors->read(1, 0, 1, &value);
    EXPECT_EQ(value, 7);
  }
}

TEST_F(CheckpointTest, RefusesShardsThatDisagreeWithTheIndex) {
  folder_.write("a.safetensors", zero_safetensors({{"x", {2}}}));
  folder_.write("b.safetensors", zero_safetensors({{"y", {2}}}));
  write_shards(R"("x": "a.safetensors", "y": "b.safetensors", "w": "a.safetensors")");
  refuse(MOX_INVALID_FILE, {folder_.file("a.safetensors"), "holds no tensor \"w\""});
  write_shards(R"("x": "a.safetensors", "y": "a.safetensors")");
  refuse(MOX_INVALID_FILE, {"holds no tensor \"y\""});
  folder_.write("a.safetensors", zero_safetensors({{"x", {2}}, {"v", {2}}}));
  write_shards(R"("x": "a.safetensors", "y": "b.safetensors")");
  refuse(MOX_INVALID_FILE, {folder_.file("a.safetensors"), "tensor \"v\" is not in", "index.json"});
  folder_.write("a.safetensors", zero_safetensors({{"x", {2}}, {"y", {2}}}));
  refuse(MOX_INVALID_FILE, {folder_.file("a.safetensors"), "tensor \"y\" should be in \"b.safetensors\""});
  write_shards(R"("x": "a.safetensors", "y": "c.safetensors")");
  folder_.write("a.safetensors", zero_safetensors({{"x", {2}}}));
  refuse(MOX_NOT_FOUND, {"c.safetensors", "no such file"});
  write_shards(R"("x": "a.safetensors", "x": "b.safetensors")");
  refuse(MOX_INVALID_FILE, {"duplicate key \"x\""});
}

TEST_F(CheckpointTest, RefusesIndexes) {
  folder_.write("config.json", test::llama_config());
  const auto index = [&](const std::string& text) { folder_.write("model.safetensors.index.json", text); };
  index("[]");
  refuse(MOX_INVALID_FILE, {"index.json", "expected an object"});
  index("{}");
  refuse(MOX_INVALID_FILE, {"weight_map is missing or empty"});
  index(R"({"weight_map": {}})");
  refuse(MOX_INVALID_FILE, {"weight_map is missing or empty"});
  index(R"({"weight_map": ["a"]})");
  refuse(MOX_INVALID_FILE, {"weight_map is [\"a\"]", "an object"});
  index(R"({"weight_map": {"x": 1}})");
  refuse(MOX_INVALID_FILE, {"weight_map \"x\" is 1", "a file's name"});
}

TEST_F(CheckpointTest, RefusesShardNamesThatLeaveTheFolder) {
  const test::TemporaryFolder elsewhere;
  elsewhere.write("x.safetensors", zero_safetensors({{"x", {2}}}));
  std::filesystem::create_directory(folder_.file("sub"));
  for (const std::string& name :
       {elsewhere.file("x.safetensors"), std::string("../x.safetensors"), std::string("sub/x.safetensors"),
        std::string("..\\\\x.safetensors"), std::string("a..safetensors"), std::string("x.bin"), std::string(""),
        std::string("x\\u0000.safetensors"), std::string(250, 'n') + ".safetensors"}) {
    write_shards("\"x\": \"" + name + "\"");
    refuse(MOX_INVALID_FILE, {"weight_map \"x\" is", "a .safetensors file of the same folder"});
  }
}

TEST_F(CheckpointTest, RefusesLinksThatLeaveTheFolder) {
  const test::TemporaryFolder elsewhere;
  const std::string outside = elsewhere.write("x.safetensors", zero_safetensors({{"x", {2}}}));
  folder_.link("a.safetensors", outside);
  write_shards(R"("x": "a.safetensors")");
  refuse(MOX_INVALID_FILE, {folder_.file("a.safetensors"), "is a link to", "outside of the folder"});

  std::filesystem::remove(folder_.file("model.safetensors.index.json"));
  folder_.link("model.safetensors", outside);
  refuse(MOX_INVALID_FILE, {folder_.file("model.safetensors"), "outside of the folder"});

  const std::string config = elsewhere.write("config.json", test::llama_config());
  std::filesystem::remove(folder_.file("config.json"));
  folder_.link("config.json", config);
  refuse(MOX_INVALID_FILE, {folder_.file("config.json"), "outside of the folder"});

  std::filesystem::remove(folder_.file("config.json"));
  folder_.link("config.json", "/nonexistent");
  refuse(MOX_NOT_FOUND, {folder_.file("config.json"), "no such file"});
}

TEST_F(CheckpointTest, FollowsLinksThatStay) {
  write_llama();
  std::filesystem::rename(folder_.file("model.safetensors"), folder_.file("weights"));
  folder_.link("model.safetensors", "weights");
  EXPECT_EQ(open().tensors->entries()[0].file, "model.safetensors");
  const test::TemporaryFolder elsewhere;
  elsewhere.link("model", folder_.path());
  EXPECT_EQ(open_checkpoint(elsewhere.file("model"), false).architecture.family, "llama");
  // A folder whose name begins as ours does is another folder.
  const test::TemporaryFolder other;
  std::filesystem::create_directory(other.file("m"));
  std::filesystem::create_directory(other.file("m2"));
  std::filesystem::copy(folder_.file("weights"), other.file("m2/weights"));
  std::filesystem::copy(folder_.file("config.json"), other.file("m/config.json"));
  std::filesystem::create_symlink("../m2/weights", other.file("m/model.safetensors"));
  expect_refusal(MOX_INVALID_FILE, {"outside of the folder"}, [&] { (void)open_checkpoint(other.file("m"), false); });
}

}  // namespace
}  // namespace moxie::checkpoint
