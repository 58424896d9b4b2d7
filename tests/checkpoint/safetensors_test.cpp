#include "checkpoint/safetensors.h"

#include <sys/stat.h>

#include <filesystem>

#include "checkpoint/support.h"
#include "runtime/error.h"

namespace moxie::checkpoint {
namespace {

using test::expect_refusal;
using test::floats;
using test::safetensors;
using test::TemporaryFolder;

class SafetensorsTest : public testing::TestWithParam<bool> {
 protected:
  [[nodiscard]] std::unique_ptr<TensorSource> open(const std::string& bytes) const {
    return open_safetensors(folder_.write("t.safetensors", bytes), GetParam());
  }
  void refuse(const std::string& bytes, std::vector<std::string> parts, mox_status status = MOX_INVALID_FILE) const {
    parts.push_back(folder_.file("t.safetensors"));
    expect_refusal(status, parts, [&] { (void)open(bytes); });
  }
  // One tensor called x, of 8 bytes of data.
  void refuse_entry(const std::string& entry, std::vector<std::string> parts) const {
    parts.emplace_back("tensor \"x\"");
    refuse(safetensors(R"({"x":)" + entry + "}", std::string(8, '\0')), parts);
  }
  TemporaryFolder folder_;
};
INSTANTIATE_TEST_SUITE_P(ReadAndMapped, SafetensorsTest, testing::Bool());

TEST_P(SafetensorsTest, ReadsWhatIsThere) {
  const auto source = open(safetensors(
      R"({"b":{"dtype":"F32","shape":[2,2],"data_offsets":[0,16]},"__metadata__":{"format":"pt"},)"
      R"("a":{"dtype":"BF16","shape":[],"data_offsets":[16,18]},"e":{"dtype":"I64","shape":[0,3],"data_offsets":[16,16]}}   )",
      floats({1, 2, 3, 4}) + "\x80\x3f"));
  ASSERT_EQ(source->entries().size(), 3U);
  EXPECT_EQ(source->entries()[0].name, "a");
  EXPECT_EQ(source->entries()[0].describe(), "bfloat16 []");
  EXPECT_EQ(source->entries()[0].elements(), 1);
  EXPECT_EQ(source->entries()[1].describe(), "float32 [2, 2]");
  EXPECT_EQ(source->entries()[1].bytes, 16);
  EXPECT_EQ(source->entries()[1].file, "t.safetensors");
  EXPECT_EQ(source->entries()[2].elements(), 0);
  EXPECT_EQ(source->find("b"), 1);
  EXPECT_EQ(source->find("c"), -1);
  std::vector<float> values(2);
  source->read(1, 1, 2, values.data());
  EXPECT_THAT(values, testing::ElementsAre(2, 3));
  uint16_t half = 0;
  source->read(0, 0, 1, &half);
  EXPECT_EQ(half, 0x3f80);
  source->read(2, 0, 0, nullptr);
}

TEST_P(SafetensorsTest, KnowsEveryDtype) {
  const std::vector<std::pair<std::string, size_t>> dtypes = {{"F32", 4}, {"BF16", 2}, {"F16", 2}, {"F64", 8},
                                                              {"I64", 8}, {"I32", 4},  {"I16", 2}, {"I8", 1},
                                                              {"U8", 1},  {"BOOL", 1}};
  for (size_t index = 0; index < dtypes.size(); ++index) {
    const auto& [name, size] = dtypes[index];
    const auto source = open(safetensors(
        R"({"x":{"dtype":")" + name + R"(","shape":[3],"data_offsets":[0,)" + std::to_string(3 * size) + "]}}",
        std::string(3 * size, '\1')));
    EXPECT_EQ(source->entries()[0].dtype, static_cast<DType>(index)) << name;
  }
}

TEST_P(SafetensorsTest, RefusesReadsBeyondATensor) {
  const auto source = open(test::zero_safetensors({{"x", {2}}, {"y", {2}}}));
  std::vector<float> values(8);
  expect_refusal(MOX_INTERNAL, {"\"x\"", "1 + 2 of 2"}, [&] { source->read(0, 1, 2, values.data()); });
  expect_refusal(MOX_INTERNAL, {"\"x\""}, [&] { source->read(0, -1, 1, values.data()); });
  expect_refusal(MOX_INTERNAL, {"\"x\""}, [&] { source->read(0, 1, INT64_MAX, values.data()); });
}

TEST_P(SafetensorsTest, RefusesHeaderLengths) {
  refuse("", {"0 bytes", "at least 8"});
  refuse("\1\2\3", {"3 bytes"});
  refuse(test::little(17, 8) + "{}", {"header length is 17", "only 2 follow"});
  refuse(test::little(100000001, 8) + "{}", {"header length is 100000001", "at most 100000000"});
  refuse(test::little(UINT64_MAX, 8) + "{}", {"18446744073709551615", "at most 100000000"});
  refuse(test::little(0, 8), {"does not begin with '{'"});
}

TEST_P(SafetensorsTest, RefusesHeadersThatAreNoObject) {
  refuse(safetensors(" {}", ""), {"does not begin with '{'"});
  refuse(safetensors("[]", ""), {"does not begin with '{'"});
  refuse(safetensors("{\"a\":", ""), {"header", "not JSON"});
  refuse(safetensors("{}x", ""), {"not JSON"});
  refuse(safetensors(R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"a":1})", "1234"),
         {"duplicate key \"a\""});
  refuse(safetensors("{\"a\":" + std::string(70, '[') + std::string(70, ']') + "}", ""), {"nested deeper"});
}

TEST_P(SafetensorsTest, RefusesMetadataThatIsNotText) {
  refuse(safetensors(R"({"__metadata__":[1]})", ""), {"__metadata__ is [1]", "object of strings"});
  refuse(safetensors(R"({"__metadata__":{"a":{"b":1}}})", ""), {"\"a\" is {\"b\":1}", "expected a string"});
}

TEST_P(SafetensorsTest, RefusesEntries) {
  refuse_entry("5", {"is 5", "expected an object"});
  refuse_entry(R"({"dtype":"F32","shape":[2],"data_offsets":[0,8],"stride":[1]})", {"field \"stride\""});
  refuse_entry(R"({"shape":[2],"data_offsets":[0,8]})", {"dtype is missing", "one of F32"});
  refuse_entry(R"({"dtype":"F8_E4M3","shape":[8],"data_offsets":[0,8]})", {"dtype is \"F8_E4M3\"", "one of F32"});
  refuse_entry(R"({"dtype":7,"shape":[2],"data_offsets":[0,8]})", {"dtype is 7", "a string"});
  refuse_entry(R"({"dtype":"F32","data_offsets":[0,8]})", {"shape is missing"});
  refuse_entry(R"({"dtype":"F32","shape":2,"data_offsets":[0,8]})", {"shape is 2", "an array"});
  refuse_entry(R"({"dtype":"F32","shape":[-2],"data_offsets":[0,8]})", {"shape is [-2]", "from 0"});
  refuse_entry(R"({"dtype":"F32","shape":[2.0],"data_offsets":[0,8]})", {"shape is [2.0]"});
  refuse_entry(R"({"dtype":"F32","shape":[18446744073709551615],"data_offsets":[0,8]})",
               {"shape is [18446744073709551615]"});
  refuse_entry(R"({"dtype":"U8","shape":[1,1,1,1,1,1,1,1,8],"data_offsets":[0,8]})", {"9 dimensions", "at most 8"});
  refuse_entry(R"({"dtype":"F32","shape":[2]})", {"data_offsets is missing", "[begin, end]"});
  refuse_entry(R"({"dtype":"F32","shape":[2],"data_offsets":[0,8,9]})", {"data_offsets is [0,8,9]"});
  refuse_entry(R"({"dtype":"F32","shape":[2],"data_offsets":[-8,0]})", {"data_offsets is [-8,0]"});
  refuse_entry(R"({"dtype":"F32","shape":[2],"data_offsets":[8,0]})", {"data_offsets is [8,0]", "at or after"});
}

TEST_P(SafetensorsTest, RefusesSizesThatDoNotMatch) {
  refuse_entry(R"({"dtype":"F32","shape":[3],"data_offsets":[0,8]})", {"float32 [3], 12 bytes", "span 8"});
  refuse_entry(R"({"dtype":"F32","shape":[0],"data_offsets":[0,8]})", {"float32 [0], 0 bytes", "span 8"});
  // 2^62 x 4 x 2^2 wraps to zero in 64 bits.
  refuse_entry(R"({"dtype":"F32","shape":[4611686018427387904,4],"data_offsets":[0,0]})", {"more than"});
  refuse_entry(R"({"dtype":"F32","shape":[4611686018427387904,0,4],"data_offsets":[0,0]})", {"more than"});
  refuse_entry(R"({"dtype":"U8","shape":[4294967296,4294967296],"data_offsets":[0,8]})", {"more than"});
}

TEST_P(SafetensorsTest, RefusesLayouts) {
  const auto entry = [](const std::string& name, int begin, int end) {
    return "\"" + name + R"(":{"dtype":"U8","shape":[)" + std::to_string(end - begin) + R"(],"data_offsets":[)" +
           std::to_string(begin) + "," + std::to_string(end) + "]}";
  };
  const std::string eight(8, '\0');
  refuse(safetensors("{" + entry("a", 0, 6) + "," + entry("b", 4, 8) + "}", eight),
         {"\"b\"", "[4, 8] overlap", "\"a\"", "end at 6"});
  refuse(safetensors("{" + entry("a", 0, 8) + "," + entry("b", 0, 8) + "}", eight), {"overlap"});
  refuse(safetensors("{" + entry("a", 0, 3) + "," + entry("b", 4, 8) + "}", eight), {"\"b\"", "gap after byte 3"});
  refuse(safetensors("{" + entry("a", 1, 8) + "}", eight), {"\"a\"", "gap after byte 0"});
  refuse(safetensors("{" + entry("a", 0, 9) + "}", eight), {"\"a\"", "[0, 9] exceed", "8 bytes"});
  refuse(safetensors("{" + entry("a", 0, 7) + "}", eight), {"8 bytes of data", "expected 7"});
  refuse(safetensors("{}", "x"), {"1 bytes of data", "expected 0"});
}

TEST_P(SafetensorsTest, RefusesNames) {
  const auto named = [](const std::string& name) {
    return safetensors("{\"" + name + R"(":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}})", "x");
  };
  refuse(named(""), {"tensor \"\"", "1 to 1024 bytes"});
  refuse(named("a\\u0000b"), {"\"a\\x00b\"", "control characters"});
  refuse(named("a\\nb"), {"\"a\\x0ab\""});
  refuse(named(std::string(1025, 'n')), {"1 to 1024 bytes"});
}

TEST_P(SafetensorsTest, RefusesWhatIsNoFile) {
  expect_refusal(MOX_NOT_FOUND, {"/nonexistent/a.safetensors", "no such file"},
                 [&] { (void)open_safetensors("/nonexistent/a.safetensors", GetParam()); });
  expect_refusal(MOX_INVALID_FILE, {folder_.path(), "not a regular file"},
                 [&] { (void)open_safetensors(folder_.path(), GetParam()); });
  const std::string pipe = folder_.file("pipe");
  ASSERT_EQ(::mkfifo(pipe.c_str(), 0600), 0);
  expect_refusal(MOX_INVALID_FILE, {pipe, "not a regular file"}, [&] { (void)open_safetensors(pipe, GetParam()); });
}

TEST(Safetensors, NoticesAFileThatBecameShorter) {
  const TemporaryFolder folder;
  const std::string path = folder.write("t.safetensors", test::zero_safetensors({{"x", {4}}}));
  const auto source = open_safetensors(path, false);
  std::filesystem::resize_file(path, std::filesystem::file_size(path) - 4);
  std::vector<float> values(4);
  expect_refusal(MOX_INVALID_FILE, {path, "ends at byte"}, [&] { source->read(0, 0, 4, values.data()); });
}

}  // namespace
}  // namespace moxie::checkpoint
