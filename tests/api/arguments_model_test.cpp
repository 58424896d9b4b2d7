// What stepping a model refuses, and that no sequence has moved then.
#include <algorithm>
#include <functional>
#include <limits>

#include "support.h"

namespace api_test {
namespace {

constexpr int64_t vocabulary = 97;
constexpr float untouched = -1234.5F;

class ModelArguments : public testing::Test {
 protected:
  ModelArguments() {
    step(first_, {1, 2, 3});
    step(second_, {4, 5});
  }

  void step(const Sequence& sequence, const std::vector<int32_t>& tokens) {
    const mox_step one{sequence.get(), nullptr, tokens.data(), static_cast<int64_t>(tokens.size()), nullptr, 0, 0};
    must(mox_model_step, model_.get(), &one, size_t{1}, nullptr);
  }

  // A step that would be fine, then made not to be: in front of a good step and behind it.
  void refuse(mox_status status, const std::string& words, const std::function<void(mox_step&)>& change) {
    SCOPED_TRACE(words);
    for (const size_t at : {size_t{0}, size_t{1}}) {
      std::vector<float> logits(2 * 2 * vocabulary, untouched);
      const std::vector<int32_t> tokens{7, 8};
      std::vector<mox_step> steps{{first_.get(), nullptr, tokens.data(), 2, logits.data(), 2, 0},
                                  {second_.get(), nullptr, tokens.data(), 2, logits.data() + 2 * vocabulary, 2, 0}};
      change(steps[at]);
      mox_routing* routing = untouched_handle<mox_routing>();
      refused(status, words, mox_model_step, model_.get(), steps.data(), steps.size(), &routing);
      refused(status, "steps[" + std::to_string(at) + "]", mox_model_step, model_.get(), steps.data(), steps.size(),
              &routing);
      EXPECT_EQ(routing, untouched_handle<mox_routing>());
      EXPECT_TRUE(std::all_of(logits.begin(), logits.end(), [](float value) { return value == untouched; }));
      EXPECT_EQ(mox_sequence_length(first_.get()), 3);
      EXPECT_EQ(mox_sequence_length(second_.get()), 2);
    }
  }

  Runtime runtime_ = make_runtime(2);
  Model model_ = open_model(runtime_, parity_base("llama-h48-float32"));
  Model other_ = open_model(runtime_, parity_base("llama-h48-float32"));
  Sequence first_ = make_sequence(model_);
  Sequence second_ = make_sequence(model_);
  Sequence of_other_ = make_sequence(other_);
};

TEST_F(ModelArguments, Nulls) {
  const int32_t token = 1;
  const mox_step good{first_.get(), nullptr, &token, 1, nullptr, 0, 0};
  refused(MOX_INVALID_ARGUMENT, "model is NULL", mox_model_step, nullptr, &good, size_t{1}, nullptr);
  refused(MOX_INVALID_ARGUMENT, "steps is NULL", mox_model_step, model_.get(), nullptr, size_t{1}, nullptr);
  refuse(MOX_INVALID_ARGUMENT, "sequence is NULL", [](mox_step& s) { s.sequence = nullptr; });
  refuse(MOX_INVALID_ARGUMENT, "tokens is NULL", [](mox_step& s) { s.tokens = nullptr; });
  refuse(MOX_INVALID_ARGUMENT, "logits is NULL", [](mox_step& s) { s.logits = nullptr; });
}

TEST_F(ModelArguments, CountsAndStrides) {
  refuse(MOX_INVALID_ARGUMENT, "token_count is 0", [](mox_step& s) { s.token_count = 0; });
  refuse(MOX_INVALID_ARGUMENT, "token_count is -2", [](mox_step& s) { s.token_count = -2; });
  refuse(MOX_INVALID_ARGUMENT, "logits_rows is 3", [](mox_step& s) { s.logits_rows = 3; });
  refuse(MOX_INVALID_ARGUMENT, "logits_rows is -1", [](mox_step& s) { s.logits_rows = -1; });
  for (const int64_t stride : {int64_t{96}, int64_t{-97}, int64_t{1}, std::numeric_limits<int64_t>::max()}) {
    refuse(MOX_INVALID_ARGUMENT, "logits_stride", [&](mox_step& s) { s.logits_stride = stride; });
  }
}

TEST_F(ModelArguments, TokensOutOfTheVocabulary) {
  for (const int32_t bad : {-1, 97, std::numeric_limits<int32_t>::max(), std::numeric_limits<int32_t>::min()}) {
    const std::vector<int32_t> tokens{3, bad};
    refuse(MOX_INVALID_ARGUMENT, std::to_string(bad), [&](mox_step& s) { s.tokens = tokens.data(); });
    refuse(MOX_INVALID_ARGUMENT, "tokens[1]", [&](mox_step& s) { s.tokens = tokens.data(); });
    refuse(MOX_INVALID_ARGUMENT, "0 to 96", [&](mox_step& s) { s.tokens = tokens.data(); });
  }
}

TEST_F(ModelArguments, SequencesOfOthers) {
  refuse(MOX_INVALID_ARGUMENT, "another model", [&](mox_step& s) { s.sequence = of_other_.get(); });
  mox_block* raw = nullptr;
  must(mox_block_open, runtime_.get(), parity_base("llama-h48-float32").c_str(), 0, nullptr, &raw);
  const Block block(raw);
  mox_sequence* sequence = nullptr;
  must(mox_sequence_create_for_block, block.get(), nullptr, &sequence);
  const Sequence of_block(sequence);
  refuse(MOX_INVALID_ARGUMENT, "another", [&](mox_step& s) { s.sequence = of_block.get(); });
  EXPECT_EQ(mox_sequence_length(of_other_.get()), 0);
}

TEST_F(ModelArguments, ASequenceStandsInACallOnce) {
  std::vector<float> logits(3 * vocabulary, untouched);
  const int32_t token = 1;
  const std::vector<mox_step> steps{{first_.get(), nullptr, &token, 1, logits.data(), 1, 0},
                                    {second_.get(), nullptr, &token, 1, logits.data() + vocabulary, 1, 0},
                                    {first_.get(), nullptr, &token, 1, logits.data() + 2 * vocabulary, 1, 0}};
  refused(MOX_INVALID_ARGUMENT, "steps[2]", mox_model_step, model_.get(), steps.data(), steps.size(), nullptr);
  EXPECT_TRUE(std::all_of(logits.begin(), logits.end(), [](float value) { return value == untouched; }));
  EXPECT_EQ(mox_sequence_length(first_.get()), 3);
  EXPECT_EQ(mox_sequence_length(second_.get()), 2);
}

TEST_F(ModelArguments, AdaptersOfOthers) {
  const Adapter of_other = open_adapter(other_, parity_adapter("h48-lora-r8"));
  refuse(MOX_INVALID_ARGUMENT, "another", [&](mox_step& s) { s.adapter = of_other.get(); });
  const FeedForward feed_forward = open_feed_forward(runtime_, parity_base("llama-h48-float32"), 0);
  const Adapter of_feed_forward = open_adapter(feed_forward, parity_adapter("h48-lora-r8"));
  refuse(MOX_INVALID_ARGUMENT, "another", [&](mox_step& s) { s.adapter = of_feed_forward.get(); });
}

// After everything above was refused, sequences go on as if it had never been asked.
TEST_F(ModelArguments, RefusalsLeaveNoTrace) {
  for (int repeat = 0; repeat < 3; ++repeat) {
    refuse(MOX_INVALID_ARGUMENT, "tokens[0]", [&](mox_step& s) {
      static const int32_t bad[2] = {1000, 1};
      s.tokens = bad;
    });
  }
  std::vector<float> after(vocabulary), fresh(vocabulary);
  const int32_t next[1] = {9};
  const mox_step continued{first_.get(), nullptr, next, 1, after.data(), 1, 0};
  must(mox_model_step, model_.get(), &continued, size_t{1}, nullptr);
  const Sequence whole = make_sequence(model_);
  const int32_t all[4] = {1, 2, 3, 9};
  const mox_step once{whole.get(), nullptr, all, 4, fresh.data(), 1, 0};
  must(mox_model_step, model_.get(), &once, size_t{1}, nullptr);
  EXPECT_EQ(bits_of(after), bits_of(fresh));
}

TEST_F(ModelArguments, LogitsOfTheLastRowsWithStride) {
  const std::vector<int32_t> tokens{1, 2, 3, 9};
  const Sequence a = make_sequence(model_);
  const Sequence b = make_sequence(model_);
  std::vector<float> all(4 * vocabulary);
  const mox_step every{a.get(), nullptr, tokens.data(), 4, all.data(), 4, 0};
  must(mox_model_step, model_.get(), &every, size_t{1}, nullptr);
  constexpr int64_t stride = vocabulary + 3;
  std::vector<float> two(2 * stride, untouched);
  const mox_step last{b.get(), nullptr, tokens.data(), 4, two.data(), 2, stride};
  must(mox_model_step, model_.get(), &last, size_t{1}, nullptr);
  for (int64_t row = 0; row < 2; ++row) {
    EXPECT_TRUE(std::equal(two.begin() + row * stride, two.begin() + row * stride + vocabulary,
                           all.begin() + (row + 2) * vocabulary));
    for (int64_t c = vocabulary; c < stride; ++c) EXPECT_EQ(two[static_cast<size_t>(row * stride + c)], untouched);
  }
}

TEST_F(ModelArguments, Sequences) {
  mox_sequence* out = untouched_handle<mox_sequence>();
  refused(MOX_INVALID_ARGUMENT, "model is NULL", mox_sequence_create, nullptr, nullptr, &out);
  refused(MOX_INVALID_ARGUMENT, "block is NULL", mox_sequence_create_for_block, nullptr, nullptr, &out);
  refused(MOX_INVALID_ARGUMENT, "sequence is NULL", mox_sequence_create, model_.get(), nullptr, nullptr);
  mox_sequence_options options;
  mox_sequence_options_init(&options, sizeof(options));
  options.first_position = -1;
  refused(MOX_INVALID_ARGUMENT, "first_position is -1", mox_sequence_create, model_.get(), &options, &out);
  options.first_position = 0;
  options.kv = MOX_F16;
  refused(MOX_INVALID_ARGUMENT, "kv is float16; expected float32 or bfloat16", mox_sequence_create, model_.get(),
          &options, &out);
  options.kv = static_cast<mox_dtype>(77);
  refused(MOX_INVALID_ARGUMENT, "kv is ", mox_sequence_create, model_.get(), &options, &out);
  options.struct_size = 2;
  refused(MOX_INVALID_ARGUMENT, "struct_size is 2", mox_sequence_create, model_.get(), &options, &out);
  refused(MOX_INVALID_ARGUMENT, "sequence is NULL", mox_sequence_fork, nullptr, &out);
  refused(MOX_INVALID_ARGUMENT, "fork is NULL", mox_sequence_fork, first_.get(), nullptr);
  EXPECT_EQ(out, untouched_handle<mox_sequence>());
  mox_sequence_free(nullptr);
}

TEST_F(ModelArguments, DescribeSequence) {
  mox_sequence_info info{};
  info.struct_size = sizeof(info);
  refused(MOX_INVALID_ARGUMENT, "sequence is NULL", mox_sequence_describe, nullptr, &info);
  refused(MOX_INVALID_ARGUMENT, "mox_sequence_info is NULL", mox_sequence_describe, first_.get(), nullptr);
  info.struct_size = 2;
  refused(MOX_INVALID_ARGUMENT, "struct_size is 2", mox_sequence_describe, first_.get(), &info);

  const mox_model_info model = describe(model_);
  const int64_t elements_of_64 = int64_t{64} * 2 * model.layers * model.kv_heads * ((model.head_dim + 15) / 16 * 16);
  info = describe(first_);
  EXPECT_EQ(info.length, 3);
  EXPECT_EQ(info.first_position, 0);
  EXPECT_EQ(info.kv, MOX_F32);
  EXPECT_EQ(info.kv_bytes, elements_of_64 * 4);

  mox_sequence_options options;
  mox_sequence_options_init(&options, sizeof(options));
  EXPECT_EQ(options.kv, MOX_F32);
  options.first_position = 7;
  options.kv = MOX_BF16;
  mox_sequence* out = nullptr;
  must(mox_sequence_create, model_.get(), &options, &out);
  const Sequence halved(out);
  EXPECT_EQ(describe(halved).kv_bytes, 0);
  step(halved, std::vector<int32_t>(65, 1));
  must(mox_sequence_fork, halved.get(), &out);
  const Sequence fork(out);
  for (const Sequence* sequence : {&halved, &fork}) {
    info = describe(*sequence);
    EXPECT_EQ(info.length, 65);
    EXPECT_EQ(info.first_position, 7);
    EXPECT_EQ(info.kv, MOX_BF16);
    EXPECT_EQ(info.kv_bytes, 2 * elements_of_64 * 2);
  }
  must(mox_sequence_truncate, fork.get(), 64);
  EXPECT_EQ(describe(fork).kv_bytes, elements_of_64 * 2);

  // A program of an older header: what it does not know stays at its default.
  options.struct_size = offsetof(mox_sequence_options, kv);
  must(mox_sequence_create, model_.get(), &options, &out);
  EXPECT_EQ(describe(Sequence(out)).kv, MOX_F32);
}

TEST_F(ModelArguments, Truncate) {
  refused(MOX_INVALID_ARGUMENT, "sequence is NULL", mox_sequence_truncate, nullptr, 0);
  refused(MOX_INVALID_ARGUMENT, "length is 4", mox_sequence_truncate, first_.get(), 4);
  refused(MOX_INVALID_ARGUMENT, "length is -1", mox_sequence_truncate, first_.get(), -1);
  EXPECT_EQ(mox_sequence_length(first_.get()), 3);
  must(mox_sequence_truncate, first_.get(), 3);
  EXPECT_EQ(mox_sequence_length(first_.get()), 3);
  must(mox_sequence_truncate, first_.get(), 0);
  EXPECT_EQ(mox_sequence_length(first_.get()), 0);
}

TEST_F(ModelArguments, OpenAndDescribe) {
  mox_model* out = untouched_handle<mox_model>();
  const std::string folder = parity_base("llama-h48-float32");
  refused(MOX_INVALID_ARGUMENT, "runtime is NULL", mox_model_open, nullptr, folder.c_str(), nullptr, &out);
  refused(MOX_INVALID_ARGUMENT, "folder is NULL", mox_model_open, runtime_.get(), nullptr, nullptr, &out);
  refused(MOX_INVALID_ARGUMENT, "model is NULL", mox_model_open, runtime_.get(), folder.c_str(), nullptr, nullptr);
  refused(MOX_NOT_FOUND, "/no/such/folder", mox_model_open, runtime_.get(), "/no/such/folder", nullptr, &out);
  EXPECT_EQ(out, untouched_handle<mox_model>());
  mox_model_info info{};
  info.struct_size = 7;
  refused(MOX_INVALID_ARGUMENT, "struct_size is 7", mox_model_describe, model_.get(), &info);
  refused(MOX_INVALID_ARGUMENT, "model is NULL", mox_model_describe, nullptr, &info);
  EXPECT_EQ(info.hidden, 0);
  mox_model_free(nullptr);
}

class BlockArguments : public testing::Test {
 protected:
  BlockArguments() {
    mox_block* raw = nullptr;
    must(mox_block_open, runtime_.get(), parity_base("llama-h48-float32").c_str(), 0, nullptr, &raw);
    block_.reset(raw);
    mox_sequence* sequence = nullptr;
    must(mox_sequence_create_for_block, block_.get(), nullptr, &sequence);
    sequence_.reset(sequence);
  }

  void refuse(mox_status status, const std::string& words, const std::function<void(mox_block_step&)>& change) {
    SCOPED_TRACE(words);
    std::vector<float> output(2 * 48, untouched), after(2 * 48, untouched);
    mox_block_step step{sequence_.get(), nullptr, input_.data(), output.data(), after.data(), 2, 0, MOX_F32};
    change(step);
    mox_routing* routing = untouched_handle<mox_routing>();
    refused(status, words, mox_block_run, block_.get(), &step, size_t{1}, &routing);
    EXPECT_EQ(routing, untouched_handle<mox_routing>());
    EXPECT_EQ(output, std::vector<float>(2 * 48, untouched));
    EXPECT_EQ(after, std::vector<float>(2 * 48, untouched));
    EXPECT_EQ(mox_sequence_length(sequence_.get()), 0);
  }

  Runtime runtime_ = make_runtime(2);
  Block block_;
  Sequence sequence_;
  std::vector<float> input_ = random_rows(2, 48, 4);
};

TEST_F(BlockArguments, Steps) {
  refuse(MOX_INVALID_ARGUMENT, "sequence is NULL", [](mox_block_step& s) { s.sequence = nullptr; });
  refuse(MOX_INVALID_ARGUMENT, "input is NULL", [](mox_block_step& s) { s.input = nullptr; });
  refuse(MOX_INVALID_ARGUMENT, "output is NULL", [](mox_block_step& s) { s.output = nullptr; });
  refuse(MOX_INVALID_ARGUMENT, "rows is 0", [](mox_block_step& s) { s.rows = 0; });
  refuse(MOX_INVALID_ARGUMENT, "rows is -3", [](mox_block_step& s) { s.rows = -3; });
  refuse(MOX_INVALID_ARGUMENT, "stride is 47", [](mox_block_step& s) { s.stride = 47; });
  refuse(MOX_INVALID_ARGUMENT, "stride is -48", [](mox_block_step& s) { s.stride = -48; });
  refuse(MOX_INVALID_ARGUMENT, "dtype", [](mox_block_step& s) { s.dtype = MOX_F16; });
  const Model model = open_model(runtime_, parity_base("llama-h48-float32"));
  const Sequence of_model = make_sequence(model);
  refuse(MOX_INVALID_ARGUMENT, "another", [&](mox_block_step& s) { s.sequence = of_model.get(); });
  const Adapter of_adapter = open_adapter(model, parity_adapter("h48-mixlora-attn"));
  refuse(MOX_INVALID_ARGUMENT, "another", [&](mox_block_step& s) { s.adapter = of_adapter.get(); });
}

TEST_F(BlockArguments, NobodyRoutesNan) {
  mox_adapter* raw = nullptr;
  must(mox_adapter_open_for_block, block_.get(), parity_adapter("h48-mixlora-attn").c_str(), &raw);
  const Adapter adapter(raw);
  input_[48 + 4] = std::numeric_limits<float>::quiet_NaN();
  refuse(MOX_NUMERIC, "row 1", [&](mox_block_step& s) { s.adapter = adapter.get(); });
}

TEST_F(BlockArguments, NullsAndOpen) {
  std::vector<float> output(2 * 48);
  const mox_block_step step{sequence_.get(), nullptr, input_.data(), output.data(), nullptr, 2, 0, MOX_F32};
  refused(MOX_INVALID_ARGUMENT, "block is NULL", mox_block_run, nullptr, &step, size_t{1}, nullptr);
  refused(MOX_INVALID_ARGUMENT, "steps is NULL", mox_block_run, block_.get(), nullptr, size_t{1}, nullptr);
  const std::vector<mox_block_step> twice{step, step};
  refused(MOX_INVALID_ARGUMENT, "steps[1]", mox_block_run, block_.get(), twice.data(), size_t{2}, nullptr);
  EXPECT_EQ(mox_sequence_length(sequence_.get()), 0);
  mox_block* out = untouched_handle<mox_block>();
  const std::string folder = parity_base("llama-h48-float32");
  refused(MOX_INVALID_ARGUMENT, "runtime is NULL", mox_block_open, nullptr, folder.c_str(), 0, nullptr, &out);
  refused(MOX_INVALID_ARGUMENT, "folder is NULL", mox_block_open, runtime_.get(), nullptr, 0, nullptr, &out);
  refused(MOX_NOT_FOUND, "layer", mox_block_open, runtime_.get(), folder.c_str(), 2, nullptr, &out);
  EXPECT_EQ(out, untouched_handle<mox_block>());
  mox_block_free(nullptr);
}

}  // namespace
}  // namespace api_test
