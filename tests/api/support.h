// What the tests of the C surface share. They see the public headers only, as any client does.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <bit>
#include <cstdint>
#include <memory>
#include <ostream>
#include <random>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "moxie/moxie.h"

namespace api_test {

inline std::string parity_base(const std::string& name) { return MOXIE_TEST_DATA "/parity/bases/" + name; }
inline std::string parity_adapter(const std::string& name) { return MOXIE_TEST_DATA "/parity/adapters/" + name; }
inline std::string example(const std::string& name) { return MOXIE_MODELS "/" + name; }

template <auto Release>
struct Releaser {
  template <typename T>
  void operator()(T* handle) const {
    Release(handle);
  }
};

using Runtime = std::unique_ptr<mox_runtime, Releaser<mox_runtime_free>>;
using FeedForward = std::unique_ptr<mox_feed_forward, Releaser<mox_feed_forward_free>>;
using Block = std::unique_ptr<mox_block, Releaser<mox_block_free>>;
using Model = std::unique_ptr<mox_model, Releaser<mox_model_free>>;
using Adapter = std::unique_ptr<mox_adapter, Releaser<mox_adapter_release>>;
using Sequence = std::unique_ptr<mox_sequence, Releaser<mox_sequence_free>>;
using Routing = std::unique_ptr<mox_routing, Releaser<mox_routing_free>>;
using File = std::unique_ptr<mox_file, Releaser<mox_file_free>>;

// Calls f(arguments..., &error); throws what it says.
template <typename Function, typename... Arguments>
void must(Function function, Arguments... arguments) {
  mox_error error{};
  const mox_status status = function(arguments..., &error);
  if (status != MOX_OK) throw std::runtime_error(std::string(mox_status_name(status)) + ": " + error.message);
}

// Calls f(arguments..., error), with an error and without, and expects both to be refused in these words.
template <typename Function, typename... Arguments>
void refused(mox_status status, const std::string& words, Function function, Arguments... arguments) {
  mox_error error{};
  EXPECT_STREQ(mox_status_name(function(arguments..., &error)), mox_status_name(status)) << error.message;
  EXPECT_EQ(error.status, status);
  EXPECT_THAT(std::string(error.message), testing::HasSubstr(words));
  EXPECT_EQ(function(arguments..., static_cast<mox_error*>(nullptr)), status);
}

// A call that is refused must leave its out-handle as it was.
template <typename T>
T* untouched_handle() {
  return reinterpret_cast<T*>(uintptr_t{0xdead0});
}

struct Machine {
  mox_isa isa = MOX_ISA_BEST;
  mox_backend backend = MOX_BACKEND_AUTO;
};

inline Runtime make_runtime(int32_t threads, Machine machine = {}) {
  mox_runtime_options options;
  mox_runtime_options_init(&options, sizeof(options));
  options.threads = threads;
  options.isa = machine.isa;
  options.backend = machine.backend;
  mox_runtime* runtime = nullptr;
  must(mox_runtime_create, &options, &runtime);
  return Runtime(runtime);
}

inline FeedForward open_feed_forward(const Runtime& runtime, const std::string& folder, int32_t layer) {
  mox_feed_forward* feed_forward = nullptr;
  must(mox_feed_forward_open, runtime.get(), folder.c_str(), layer, nullptr, &feed_forward);
  return FeedForward(feed_forward);
}

inline Model open_model(const Runtime& runtime, const std::string& folder) {
  mox_model* model = nullptr;
  must(mox_model_open, runtime.get(), folder.c_str(), nullptr, &model);
  return Model(model);
}

inline Adapter open_adapter(const FeedForward& feed_forward, const std::string& folder) {
  mox_adapter* adapter = nullptr;
  must(mox_adapter_open_for_feed_forward, feed_forward.get(), folder.c_str(), -1, &adapter);
  return Adapter(adapter);
}

inline Adapter open_adapter(const Model& model, const std::string& folder) {
  mox_adapter* adapter = nullptr;
  must(mox_adapter_open, model.get(), folder.c_str(), &adapter);
  return Adapter(adapter);
}

inline Sequence make_sequence(const Model& model, mox_dtype kv = MOX_F32) {
  mox_sequence_options options;
  mox_sequence_options_init(&options, sizeof(options));
  options.kv = kv;
  mox_sequence* sequence = nullptr;
  must(mox_sequence_create, model.get(), &options, &sequence);
  return Sequence(sequence);
}

inline mox_sequence_info describe(const Sequence& sequence) {
  mox_sequence_info info{};
  info.struct_size = sizeof(info);
  must(mox_sequence_describe, sequence.get(), &info);
  return info;
}

inline mox_feed_forward_info describe(const FeedForward& feed_forward) {
  mox_feed_forward_info info{};
  info.struct_size = sizeof(info);
  must(mox_feed_forward_describe, feed_forward.get(), &info);
  return info;
}

inline mox_model_info describe(const Model& model) {
  mox_model_info info{};
  info.struct_size = sizeof(info);
  must(mox_model_describe, model.get(), &info);
  return info;
}

inline mox_adapter_info describe(const Adapter& adapter) {
  mox_adapter_info info{};
  info.struct_size = sizeof(info);
  must(mox_adapter_describe, adapter.get(), &info);
  return info;
}

// Hidden states about the size of a normalised row; the same on every machine.
inline std::vector<float> random_rows(int64_t rows, int64_t hidden, uint32_t seed) {
  std::mt19937 random(seed);
  std::vector<float> values(static_cast<size_t>(rows * hidden));
  for (float& value : values) value = (static_cast<float>(random() >> 8) * 0x1p-24F - 0.5F) * 4;
  return values;
}

inline std::vector<int32_t> random_tokens(int64_t count, int64_t vocabulary, uint32_t seed) {
  std::mt19937 random(seed);
  std::vector<int32_t> tokens(static_cast<size_t>(count));
  for (int32_t& token : tokens) token = static_cast<int32_t>(random() % static_cast<uint64_t>(vocabulary));
  return tokens;
}

inline uint16_t to_bfloat16(float value) {
  const auto bits = std::bit_cast<uint32_t>(value);
  return static_cast<uint16_t>((bits + 0x7fffU + ((bits >> 16) & 1U)) >> 16);
}

inline float from_bfloat16(uint16_t bits) { return std::bit_cast<float>(static_cast<uint32_t>(bits) << 16); }

inline std::vector<uint32_t> bits_of(const std::vector<float>& values) {
  std::vector<uint32_t> bits(values.size());
  for (size_t i = 0; i < values.size(); ++i) bits[i] = std::bit_cast<uint32_t>(values[i]);
  return bits;
}

// One range over all rows; input and output float32, contiguous.
inline mox_batch batch_of(int64_t rows, const float* input, float* output, const std::vector<mox_range>& ranges) {
  mox_batch batch;
  mox_batch_init(&batch, sizeof(batch));
  batch.rows = rows;
  batch.input = input;
  batch.output = output;
  batch.ranges = ranges.data();
  batch.range_count = ranges.size();
  return batch;
}

// Every level and backend this machine and build can run, each with a name for the report.
struct NamedMachine {
  std::string name;
  Machine machine;
  // Whether to be content with fewer repetitions: sanitizers and plain loops make each of them dear.
  [[nodiscard]] bool slow() const { return MOXIE_SANITIZED || machine.backend == MOX_BACKEND_REFERENCE; }
  friend void PrintTo(const NamedMachine& machine, std::ostream* out) { *out << machine.name; }
};
std::vector<NamedMachine> machines();

}  // namespace api_test
