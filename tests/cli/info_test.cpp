// moxie info: what it says of sound and of broken files.
#include <gmock/gmock.h>

#include "program.h"

namespace moxie::test {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

TEST(Info, DescribesACheckpoint) {
  const auto finished = run_program({"info", bundled("tiny-llama"), "--json", "--tensors"});
  ASSERT_EQ(finished.status, 0) << finished.errors;
  const auto json = finished.json();
  EXPECT_EQ(json["kind"], "checkpoint");
  EXPECT_EQ(json["family"], "llama");
  EXPECT_EQ(json["settings"]["hidden"], "192");
  EXPECT_THAT(json["problems"], IsEmpty());
  // embedding and head, 6 layers of q, k, v, o, gate, up, down and two norms, the last norm
  EXPECT_EQ(json["tensor_count"], 2 + 6 * 9 + 1);
  const int64_t parameters = 2 * 2048 * 192 + 6 * (2 * 192 * 192 + 2 * 64 * 192 + 3 * 512 * 192 + 2 * 192) + 192;
  EXPECT_EQ(json["parameters"], parameters);
  EXPECT_EQ(json["bytes_of_dtype"]["bfloat16"], 2 * parameters);
  ASSERT_EQ(json["tensors"].size(), 57u);
  EXPECT_EQ(json["tensors"][0]["name"], "lm_head.weight");
  EXPECT_EQ(json["tensors"][0]["shape"], (std::vector<int>{2048, 192}));
}

TEST(Info, DescribesAnAdapterAsText) {
  const auto finished = run_program({"info", bundled("kjv-mixlora")});
  ASSERT_EQ(finished.status, 0) << finished.output << finished.errors;
  EXPECT_THAT(finished.output, HasSubstr("adapter"));
  EXPECT_THAT(finished.output, HasSubstr("mixlora"));
  EXPECT_THAT(finished.output, HasSubstr("float32"));
  EXPECT_THAT(finished.output, Not(HasSubstr("would be refused")));
}

TEST(Info, ListsTensorsOfASingleFile) {
  const auto finished = run_program({"info", bundled("heldout/kjv.safetensors"), "--tensors"});
  EXPECT_EQ(finished.status, 0) << finished.output << finished.errors;
  EXPECT_THAT(finished.output, HasSubstr("windows"));
  EXPECT_THAT(finished.output, HasSubstr("[64, 256]"));
  EXPECT_THAT(finished.output, HasSubstr("int32"));
}

TEST(Info, DescribesAPackedCache) {
  const TemporaryFolder folder;
  const auto cache = (folder / "cache").string();
  const auto routes = [&](std::vector<std::string> more) {
    more.insert(more.begin(), {"perplexity", "--model", bundled("tiny-llama"), "--windows",
                               bundled("heldout/kjv.safetensors"), "--limit", "1", "--json", "--verbose"});
    return run_program(more);
  };
  const auto plain = routes({}), written = routes({"--packed-cache", cache}), used = routes({"--packed-cache", cache}),
             mapped = routes({"--packed-cache", cache, "--map-packed-cache"});
  ASSERT_EQ(plain.status, 0) << plain.errors;
  EXPECT_THAT(plain.errors, Not(HasSubstr("packed cache")));
  EXPECT_THAT(written.errors, HasSubstr("packed cache " + cache + ": wrote "));
  EXPECT_THAT(used.errors, HasSubstr("packed cache " + cache + ": read "));
  EXPECT_THAT(mapped.errors, HasSubstr("packed cache " + cache + ": mapped "));
  const auto figure = [](const Finished& finished) { return finished.json()[0]["perplexity"]; };
  for (const auto* one : {&written, &used, &mapped}) EXPECT_EQ(figure(*one), figure(plain));
  EXPECT_EQ(routes({"--map-packed-cache"}).status, 2);

  const auto finished = run_program({"info", cache, "--json"});
  ASSERT_EQ(finished.status, 0) << finished.errors;
  const auto json = finished.json();
  EXPECT_EQ(json["format"], "packed cache");
  EXPECT_EQ(json["tensor_count"], 6 * 7 + 1);
  EXPECT_EQ(json["settings"]["holds"], "model");
  EXPECT_EQ(json["settings"]["made from"], bundled("tiny-llama"));
}

TEST(Info, ABrokenConfigurationIsExplainedAndFails) {
  const TemporaryFolder folder;
  const auto broken = folder / "broken";
  std::filesystem::copy(bundled("tiny-llama"), broken);
  std::filesystem::permissions(broken / "config.json", std::filesystem::perms::owner_all);
  auto config = nlohmann::json::parse(read_file(broken / "config.json"));
  config["intermediate_size"] = 513;
  write_file(broken / "config.json", config.dump());
  const auto finished = run_program({"info", broken.string()});
  EXPECT_EQ(finished.status, 1);
  EXPECT_THAT(finished.output, HasSubstr("would be refused:"));
  EXPECT_THAT(finished.output, HasSubstr("513"));
  const auto as_json = run_program({"info", broken.string(), "--json"});
  EXPECT_EQ(as_json.status, 1);
  EXPECT_THAT(as_json.json()["problems"], Not(IsEmpty()));
}

TEST(Info, ATruncatedTensorFileFails) {
  const TemporaryFolder folder;
  const auto whole = read_file(bundled("heldout/kjv.safetensors"));
  write_file(folder / "cut.safetensors", whole.substr(0, whole.size() - 1));
  const auto finished = run_program({"info", (folder / "cut.safetensors").string()});
  EXPECT_EQ(finished.status, 1);
  EXPECT_THAT(finished.output + finished.errors, HasSubstr("cut.safetensors"));
}

TEST(Info, AnAdapterWithAMissingTensorFileFails) {
  const TemporaryFolder folder;
  std::filesystem::copy(bundled("kjv-mixlora") + "/adapter_config.json", folder.path());
  const auto finished = run_program({"info", folder.path().string()});
  EXPECT_EQ(finished.status, 1);
  EXPECT_THAT(finished.output + finished.errors, HasSubstr("adapter_model"));
}

TEST(Info, NothingThereFails) {
  const auto finished = run_program({"info", "/no/such/folder"});
  EXPECT_EQ(finished.status, 1);
  EXPECT_THAT(finished.errors, HasSubstr("/no/such/folder"));
}

}  // namespace
}  // namespace moxie::test
