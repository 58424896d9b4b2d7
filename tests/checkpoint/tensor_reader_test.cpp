#include <cmath>

#include "checkpoint/safetensors.h"
#include "checkpoint/support.h"
#include "checkpoint/tensor_source.h"
#include "runtime/error.h"

namespace moxie::checkpoint {
namespace {

using test::expect_refusal;

class TensorReaderTest : public testing::Test {
 protected:
  TensorReaderTest() {
    // 1, -2 in float16 and bfloat16; 1.5, 2.5, 3.5, 4.5 in float32; 7 as int32.
    folder_.write("m.safetensors", test::safetensors(R"({"h":{"dtype":"F16","shape":[2],"data_offsets":[0,4]},)"
                                                     R"("b":{"dtype":"BF16","shape":[2],"data_offsets":[4,8]},)"
                                                     R"("f":{"dtype":"F32","shape":[2,2],"data_offsets":[8,24]},)"
                                                     R"("i":{"dtype":"I32","shape":[1],"data_offsets":[24,28]}})",
                                                     test::little(0xc0003c00, 4) + test::little(0xc0003f80, 4) +
                                                         test::floats({1.5, 2.5, 3.5, 4.5}) + test::little(7, 4)));
    source_ = open_safetensors(path_);
  }
  test::TemporaryFolder folder_;
  std::string path_ = folder_.file("m.safetensors");
  std::unique_ptr<TensorSource> source_;
};

TEST_F(TensorReaderTest, WidensToFloat32) {
  TensorReader reader(*source_);
  EXPECT_THAT(reader.read_float32("h", {2}), testing::ElementsAre(1.0F, -2.0F));
  EXPECT_THAT(reader.read_float32("b", {2}), testing::ElementsAre(1.0F, -2.0F));
  EXPECT_THAT(reader.read_float32("f", {2, 2}), testing::ElementsAre(1.5F, 2.5F, 3.5F, 4.5F));
  EXPECT_TRUE(reader.has("h"));
  EXPECT_FALSE(reader.has("x"));
}

TEST_F(TensorReaderTest, ReadsRows) {
  TensorReader reader(*source_);
  const TensorEntry& entry = reader.require("f", {2, 2});
  std::vector<float> row(2);
  reader.read_rows(entry, 1, 1, row.data());
  EXPECT_THAT(row, testing::ElementsAre(3.5F, 4.5F));
}

TEST_F(TensorReaderTest, NamesWhatIsMissingOrOfAnotherShape) {
  TensorReader reader(*source_);
  expect_refusal(MOX_INVALID_FILE, {path_, "tensor \"x\" is missing", "expected [3, 4]"}, [&] {
    (void)reader.require("x", {3, 4});
  });
  expect_refusal(MOX_INVALID_FILE, {path_ + ": tensor \"f\" is [2, 2]; expected [4]"},
                 [&] { (void)reader.require("f", {4}); });
  expect_refusal(MOX_UNSUPPORTED, {path_, "tensor \"i\" is int32", "float32, bfloat16 or float16"},
                 [&] { (void)reader.read_float32("i", {1}); });
}

TEST_F(TensorReaderTest, RefusesWhatNobodyUsed) {
  TensorReader reader(*source_);
  expect_refusal(MOX_INVALID_FILE, {path_, "the adapter has no use for 4 of its tensors", R"("b", "f", "h", "i")"},
                 [&] { reader.refuse_unused("adapter"); });
  (void)reader.require("f", {2, 2});
  (void)reader.read_float32("h", {2});
  EXPECT_TRUE(reader.pass_over("b"));
  EXPECT_FALSE(reader.pass_over("x"));
  expect_refusal(MOX_INVALID_FILE, {"no use for tensor \"i\""}, [&] { reader.refuse_unused("adapter"); });
  reader.pass_over("i");
  EXPECT_NO_THROW(reader.refuse_unused("adapter"));
}

TEST_F(TensorReaderTest, ListsNoMoreThanEight) {
  std::vector<std::pair<std::string, std::vector<int64_t>>> tensors;
  for (int index = 10; index < 30; ++index) tensors.push_back({"t" + std::to_string(index), {1}});
  folder_.write("many.safetensors", test::zero_safetensors(tensors));
  const auto source = open_safetensors(folder_.file("many.safetensors"));
  expect_refusal(MOX_INVALID_FILE, {"20 of its tensors", "\"t17\" and 12 more"},
                 [&] { TensorReader(*source).refuse_unused("checkpoint"); });
}

}  // namespace
}  // namespace moxie::checkpoint
