// The C functions that look at files.
#include "moxie/file.h"

#include <cstring>
#include <filesystem>
#include <map>
#include <memory>

#include "checkpoint/checkpoints.h"

namespace moxie {
namespace {

struct FreeFile {
  void operator()(mox_file* file) const { mox_file_free(file); }
};
using FileHandle = std::unique_ptr<mox_file, FreeFile>;

FileHandle open(const std::string& path) {
  mox_file* file = nullptr;
  mox_error error{};
  EXPECT_EQ(mox_file_open(path.c_str(), &file, &error), MOX_OK) << error.message;
  return FileHandle(file);
}

mox_file_info describe(const FileHandle& file) {
  mox_file_info info{};
  info.struct_size = sizeof(info);
  mox_error error{};
  EXPECT_EQ(mox_file_describe(file.get(), &info, &error), MOX_OK) << error.message;
  return info;
}

std::map<std::string, std::string> settings(const FileHandle& file) {
  std::map<std::string, std::string> found;
  const char *name = nullptr, *value = nullptr;
  for (int64_t index = 0; mox_file_setting(file.get(), index, &name, &value, nullptr) == MOX_OK; ++index) {
    EXPECT_TRUE(found.emplace(name, value).second) << name;
  }
  return found;
}

std::vector<std::string> problems(const FileHandle& file) {
  std::vector<std::string> found;
  for (int64_t index = 0; index < describe(file).problems; ++index) {
    const char* text = nullptr;
    EXPECT_EQ(mox_file_problem(file.get(), index, &text, nullptr), MOX_OK);
    found.emplace_back(text);
  }
  return found;
}

class FileTest : public testing::Test {
 protected:
  void write_llama(const std::string& more = "") const {
    folder_.write("config.json", test::llama_config(more));
    folder_.write("model.safetensors", test::zero_safetensors(test::llama_tensors()));
  }
  test::TemporaryFolder folder_;
  mox_error error_{};
};

TEST_F(FileTest, DescribesACheckpoint) {
  write_llama();
  const FileHandle file = open(folder_.path());
  const mox_file_info info = describe(file);
  EXPECT_EQ(info.kind, MOX_FILE_CHECKPOINT);
  EXPECT_STREQ(info.family, "llama");
  EXPECT_STREQ(info.format, "Hugging Face");
  EXPECT_EQ(info.tensors, 12);
  EXPECT_EQ(info.parameters, 2 * 40 + 3 * 8 + 3 * 96 + 2 * 64 + 2 * 32);
  EXPECT_EQ(info.bytes, 4 * info.parameters);
  EXPECT_EQ(info.problems, 0);
  const auto known = settings(file);
  EXPECT_EQ(known.at("hidden"), "8");
  EXPECT_EQ(known.at("ffn"), "12");
  EXPECT_EQ(known.at("layers"), "1");
  EXPECT_EQ(known.at("heads"), "2");
  EXPECT_EQ(known.at("kv heads"), "1");
  EXPECT_EQ(known.at("head dim"), "4");
  EXPECT_EQ(known.at("vocabulary"), "5");
  EXPECT_EQ(known.at("activation"), "silu");
  EXPECT_EQ(known.at("rope"), "theta 10000, 4 dimensions");
  EXPECT_EQ(known.at("window"), "none");
  EXPECT_EQ(known.at("tied embeddings"), "no");
  EXPECT_EQ(known.at("dtypes"), "12 float32");
  EXPECT_EQ(known.count("experts"), 0U);
}

TEST_F(FileTest, DescribesExpertsAndScaledRope) {
  const FileHandle mixtral = open(std::string(MOXIE_TEST_DATA) + "/parity/bases/mixtral");
  EXPECT_EQ(settings(mixtral).at("experts"), "5");
  EXPECT_EQ(settings(mixtral).at("top-k"), "2");
  EXPECT_EQ(describe(mixtral).problems, 0);
  const FileHandle yarn = open(std::string(MOXIE_TEST_DATA) + "/parity/bases/llama-rope-yarn");
  EXPECT_EQ(settings(yarn).at("rope"), "theta 10000, yarn factor 4, 16 dimensions");
  const FileHandle windows = open(std::string(MOXIE_TEST_DATA) + "/parity/bases/consolidated-window-list");
  EXPECT_STREQ(describe(windows).format, "mistral consolidated");
  EXPECT_THAT(settings(windows).at("window"), testing::StartsWith("6, "));
}

TEST_F(FileTest, ListsWhatLoadingWouldRefuse) {
  write_llama(R"(, "rope_scaling": {"type": "mrope"})");
  FileHandle file = open(folder_.path());
  EXPECT_THAT(problems(file), testing::ElementsAre(testing::HasSubstr("config.json: rope_scaling.type is \"mrope\"")));
  EXPECT_STREQ(describe(file).family, "");
  EXPECT_EQ(describe(file).tensors, 12);

  folder_.write("config.json", test::llama_config(R"(, "head_dim": 3)"));
  EXPECT_THAT(problems(open(folder_.path())), testing::Contains(testing::HasSubstr("3 of the 3 dimensions")));
  EXPECT_THAT(problems(open(folder_.path())), testing::Contains(testing::HasSubstr("is [8, 8]; expected [6, 8]")));

  folder_.write("config.json", test::llama_config(R"(, "num_hidden_layers": 2)"));
  EXPECT_THAT(problems(open(folder_.path())), testing::ElementsAre(testing::HasSubstr("duplicate key")));

  write_llama();
  folder_.write("model.safetensors", test::zero_safetensors({{"model.norm.weight", {8}}, {"extra", {1}}}));
  EXPECT_THAT(problems(open(folder_.path())),
              testing::ElementsAre(testing::HasSubstr("\"extra\" [1]: a llama checkpoint has no use for it"),
                                   testing::HasSubstr("11 tensors are missing: \"model.embed_tokens.weight\"")));
  folder_.write("model.safetensors", "damaged");
  file = open(folder_.path());
  EXPECT_THAT(problems(file), testing::ElementsAre(testing::HasSubstr("model.safetensors: has 7 bytes")));
  EXPECT_STREQ(describe(file).family, "llama");
  EXPECT_EQ(describe(file).tensors, 0);
}

TEST_F(FileTest, DescribesAnAdapter) {
  const FileHandle file = open(std::string(MOXIE_TEST_DATA) + "/parity/adapters/h48-mixlora-top2-e8");
  const mox_file_info info = describe(file);
  EXPECT_EQ(info.kind, MOX_FILE_ADAPTER);
  EXPECT_STREQ(info.family, "mixlora");
  EXPECT_STREQ(info.format, "MoE-PEFT");
  EXPECT_GT(info.tensors, 0);
  EXPECT_THAT(problems(file), testing::IsEmpty());
}

TEST_F(FileTest, ListsAnAdaptersMissingTensorsAsAProblem) {
  const std::string config = std::string(MOXIE_TEST_DATA) + "/parity/adapters/h48-mixlora-top2-e8/adapter_config.json";
  std::filesystem::copy(config, folder_.file("adapter_config.json"));
  const FileHandle file = open(folder_.path());
  EXPECT_EQ(describe(file).kind, MOX_FILE_ADAPTER);
  EXPECT_EQ(describe(file).tensors, 0);
  EXPECT_THAT(problems(file), testing::Contains(testing::HasSubstr("holds no adapter tensors")));
}

TEST_F(FileTest, DescribesTensorFiles) {
  const FileHandle single = open(folder_.write("x.safetensors", test::zero_safetensors({{"b", {2, 3}}, {"a", {4}}})));
  EXPECT_EQ(describe(single).kind, MOX_FILE_TENSORS);
  EXPECT_STREQ(describe(single).format, "safetensors");
  EXPECT_STREQ(describe(single).family, "");
  EXPECT_EQ(settings(single).at("dtypes"), "2 float32");
  const FileHandle archive = open(test::write_zero_archive(folder_, {{"a", {4}}}, "any name"));
  EXPECT_STREQ(describe(archive).format, "torch archive");
  EXPECT_EQ(describe(archive).tensors, 1);
}

TEST_F(FileTest, ReadsTensors) {
  const FileHandle file = open(
      folder_.write("x.safetensors", test::safetensors(R"({"b":{"dtype":"F32","shape":[2,1],"data_offsets":[0,8]},)"
                                                       R"("e":{"dtype":"U8","shape":[0],"data_offsets":[8,8]}})",
                                                       test::floats({3, 4}))));
  int64_t index = -1;
  ASSERT_EQ(mox_file_find_tensor(file.get(), "b", &index, &error_), MOX_OK);
  mox_tensor_info info{};
  info.struct_size = sizeof(info);
  ASSERT_EQ(mox_file_tensor(file.get(), index, &info, &error_), MOX_OK);
  EXPECT_STREQ(info.name, "b");
  EXPECT_STREQ(info.file, "x.safetensors");
  EXPECT_EQ(info.dtype, MOX_F32);
  EXPECT_EQ(info.dimensions, 2);
  EXPECT_EQ(info.shape[0], 2);
  EXPECT_EQ(info.shape[1], 1);
  EXPECT_EQ(info.bytes, 8);
  float values[2] = {9, 9};
  EXPECT_EQ(mox_file_read_tensor(file.get(), index, values, 4, &error_), MOX_INVALID_ARGUMENT);
  EXPECT_STREQ(error_.message, "size is 4; tensor \"b\" has 8 bytes");
  EXPECT_EQ(values[0], 9);
  ASSERT_EQ(mox_file_read_tensor(file.get(), index, values, 8, &error_), MOX_OK);
  EXPECT_EQ(values[0], 3);
  EXPECT_EQ(values[1], 4);
  EXPECT_EQ(mox_file_read_tensor(file.get(), 1, nullptr, 0, &error_), MOX_OK);
  EXPECT_EQ(mox_file_read_tensor(file.get(), index, nullptr, 8, &error_), MOX_INVALID_ARGUMENT);
}

TEST_F(FileTest, LeavesOutputsAloneOnError) {
  const std::string path = folder_.write("x.safetensors", test::zero_safetensors({{"a", {1000}}}));
  const FileHandle file = open(path);
  std::filesystem::resize_file(path, 2000);
  std::vector<float> values(1000, 9.0F);
  EXPECT_EQ(mox_file_read_tensor(file.get(), 0, values.data(), 4000, &error_), MOX_INVALID_FILE);
  EXPECT_THAT(values, testing::Each(9.0F));
}

TEST_F(FileTest, SaysWhatIsNotThere) {
  mox_file* none = nullptr;
  EXPECT_EQ(mox_file_open("/nonexistent", &none, &error_), MOX_NOT_FOUND);
  EXPECT_THAT(error_.message, testing::HasSubstr("/nonexistent"));
  EXPECT_EQ(mox_file_open(folder_.path().c_str(), &none, &error_), MOX_NOT_FOUND);
  EXPECT_THAT(error_.message, testing::HasSubstr("neither config.json nor params.json"));
  EXPECT_EQ(mox_file_open(folder_.write("x", "text").c_str(), &none, &error_), MOX_INVALID_FILE);
  EXPECT_EQ(mox_file_open(nullptr, &none, &error_), MOX_INVALID_ARGUMENT);
  EXPECT_EQ(mox_file_open(folder_.path().c_str(), nullptr, &error_), MOX_INVALID_ARGUMENT);
  EXPECT_EQ(none, nullptr);
  mox_file_free(nullptr);

  const FileHandle file = open(folder_.write("a.safetensors", test::zero_safetensors({{"a", {1}}})));
  mox_tensor_info info{};
  info.struct_size = sizeof(info);
  EXPECT_EQ(mox_file_tensor(file.get(), 1, &info, &error_), MOX_NOT_FOUND);
  EXPECT_STREQ(error_.message, "tensor 1; there are 1");
  EXPECT_EQ(mox_file_tensor(file.get(), -1, &info, &error_), MOX_NOT_FOUND);
  int64_t index = 7;
  EXPECT_EQ(mox_file_find_tensor(file.get(), "b", &index, &error_), MOX_NOT_FOUND);
  EXPECT_EQ(index, 7);
  const char *name = nullptr, *value = nullptr;
  EXPECT_EQ(mox_file_setting(file.get(), 99, &name, &value, &error_), MOX_NOT_FOUND);
  EXPECT_EQ(mox_file_problem(file.get(), 0, &name, &error_), MOX_NOT_FOUND);
  info.struct_size = 0;
  EXPECT_EQ(mox_file_tensor(file.get(), 0, &info, &error_), MOX_INVALID_ARGUMENT);
  EXPECT_THAT(error_.message, testing::HasSubstr("struct_size"));
}

}  // namespace
}  // namespace moxie
