// Loading takes little more memory than the result: the largest resident size of a process of its own is measured.
#include <gtest/gtest.h>

#include <fstream>
#include <sstream>

#include "cache/opened.h"
#include "checkpoint/support.h"

namespace moxie::test {
namespace {

// What a process needs besides: threads' stacks, the pieces in flight, the table of tensors, the first step.
constexpr int64_t allowance = int64_t{24} << 20;

// About 200 MB of bfloat16: 5 layers of hidden 1024 and ffn 4096, vocabulary 8192.
void write_checkpoint(const TemporaryFolder& folder) {
  folder.write("config.json", R"({"model_type": "llama", "hidden_size": 1024, "intermediate_size": 4096,)"
                              R"( "num_hidden_layers": 5, "num_attention_heads": 8, "num_key_value_heads": 8,)"
                              R"( "vocab_size": 8192})");
  std::vector<std::pair<std::string, std::vector<int64_t>>> tensors{
      {"lm_head.weight", {8192, 1024}}, {"model.embed_tokens.weight", {8192, 1024}}, {"model.norm.weight", {1024}}};
  for (int layer = 0; layer < 5; ++layer) {
    const std::string prefix = "model.layers." + std::to_string(layer) + ".";
    for (const char* name : {"q", "k", "v", "o"}) {
      tensors.push_back({prefix + "self_attn." + name + "_proj.weight", {1024, 1024}});
    }
    for (const char* name : {"gate", "up"}) tensors.push_back({prefix + "mlp." + name + "_proj.weight", {4096, 1024}});
    tensors.push_back({prefix + "mlp.down_proj.weight", {1024, 4096}});
    for (const char* name : {"input_layernorm", "post_attention_layernorm"}) {
      tensors.push_back({prefix + name + ".weight", {1024}});
    }
  }
  std::string header = "{";
  int64_t end = 0;
  for (const auto& [name, shape] : tensors) {
    int64_t bytes = 2;
    std::string sides;
    for (const int64_t side : shape) {
      bytes *= side;
      sides += (sides.empty() ? "" : ",") + std::to_string(side);
    }
    header += (end == 0 ? "\"" : ",\"") + name + R"(":{"dtype":"BF16","shape":[)" + sides + "],\"data_offsets\":[" +
              std::to_string(end) + "," + std::to_string(end + bytes) + "]}";
    end += bytes;
  }
  header += "}";
  std::ofstream file(folder.file("model.safetensors"), std::ios::binary);
  file << little(header.size(), 8) << header;
  std::vector<uint16_t> piece(1 << 19);
  for (size_t i = 0; i < piece.size(); ++i) piece[i] = static_cast<uint16_t>(0x3c00 + i * 7919 % 256);
  for (int64_t left = end; left > 0;) {
    const int64_t count = std::min<int64_t>(left, static_cast<int64_t>(piece.size()) * 2);
    file.write(reinterpret_cast<const char*>(piece.data()), count);
    left -= count;
  }
  if (!file.flush()) throw std::runtime_error("the checkpoint cannot be written");
}

TEST(LoadPeakTest, LittleMoreThanTheWeights) {
  const TemporaryFolder folder;
  write_checkpoint(folder);
  const std::string cache = folder.file("cache");
  struct Case {
    const char *what, *files, *cache, *use;
  };
  const Case cases[] = {{"read", "read", "-", "read"},
                        {"mapped", "map", "-", "read"},
                        {"read, cache written", "read", cache.c_str(), "read"},
                        {"cache read", "read", cache.c_str(), "read"},
                        {"cache mapped", "read", cache.c_str(), "map"}};
  for (const Case& one : cases) {
    int64_t weights = 0, growth = 0;
    std::istringstream(run_child({"peak", folder.path(), one.files, one.cache, one.use})) >> weights >> growth;
    ASSERT_GT(weights, int64_t{140'000'000}) << one.what;
    EXPECT_LE(growth, weights * 115 / 100 + allowance) << one.what;
    EXPECT_GE(growth, weights * 9 / 10) << one.what << ": the measurement does not see the weights";
    std::printf("%s: %lld bytes of weights, resident grew by %lld (%.3f)\n", one.what, static_cast<long long>(weights),
                static_cast<long long>(growth), static_cast<double>(growth) / static_cast<double>(weights));
  }
}

}  // namespace
}  // namespace moxie::test
