// What mox_feed_forward_run refuses, in which words, and that it leaves everything as it was.
#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>

#include "support.h"

namespace api_test {
namespace {

constexpr int64_t rows = 12;
constexpr int64_t hidden = 48;
constexpr float untouched = -1234.5F;

class FeedForwardArguments : public testing::Test {
 protected:
  FeedForwardArguments() { ranges_ = {{nullptr, 0, 4}, {lora_.get(), 4, 8}, {mixlora_.get(), 8, rows}}; }

  [[nodiscard]] mox_batch batch() { return batch_of(rows, input_.data(), output_.data(), ranges_); }

  // Refused by run, and by route where that looks at it; output and routing handle stay as they were.
  void refuse(mox_status status, const std::string& words, const std::function<void(mox_batch&)>& change,
              bool route_too = true) {
    SCOPED_TRACE(words);
    std::fill(output_.begin(), output_.end(), untouched);
    mox_batch asked = batch();
    change(asked);
    mox_routing* routing = untouched_handle<mox_routing>();
    refused(status, words, mox_feed_forward_run, feed_forward_.get(), &asked, nullptr, &routing);
    EXPECT_EQ(routing, untouched_handle<mox_routing>());
    EXPECT_TRUE(std::all_of(output_.begin(), output_.end(), [](float value) { return value == untouched; }));
    if (!route_too) return;
    refused(status, words, mox_feed_forward_route, feed_forward_.get(), &asked, &routing);
    EXPECT_EQ(routing, untouched_handle<mox_routing>());
  }

  void refuse_ranges(const std::string& words, const std::vector<mox_range>& ranges) {
    refuse(MOX_INVALID_ARGUMENT, words, [&](mox_batch& asked) {
      asked.ranges = ranges.data();
      asked.range_count = ranges.size();
    });
  }

  Runtime runtime_ = make_runtime(2);
  FeedForward feed_forward_ = open_feed_forward(runtime_, parity_base("llama-h48-float32"), 0);
  FeedForward other_ = open_feed_forward(runtime_, parity_base("llama-h48-float32"), 0);
  Adapter lora_ = open_adapter(feed_forward_, parity_adapter("h48-lora-r8"));
  Adapter mixlora_ = open_adapter(feed_forward_, parity_adapter("h48-mixlora-top2-e8"));
  Adapter of_other_ = open_adapter(other_, parity_adapter("h48-lora-r8"));
  std::vector<float> input_ = random_rows(rows, hidden, 1);
  std::vector<float> output_ = std::vector<float>(static_cast<size_t>(rows * hidden), untouched);
  std::vector<mox_range> ranges_;
};

TEST_F(FeedForwardArguments, Nulls) {
  mox_batch asked = batch();
  refused(MOX_INVALID_ARGUMENT, "feed_forward is NULL", mox_feed_forward_run, nullptr, &asked, nullptr, nullptr);
  refused(MOX_INVALID_ARGUMENT, "batch is NULL", mox_feed_forward_run, feed_forward_.get(), nullptr, nullptr, nullptr);
  mox_routing* routing = untouched_handle<mox_routing>();
  refused(MOX_INVALID_ARGUMENT, "feed_forward is NULL", mox_feed_forward_route, nullptr, &asked, &routing);
  refused(MOX_INVALID_ARGUMENT, "batch is NULL", mox_feed_forward_route, feed_forward_.get(), nullptr, &routing);
  refused(MOX_INVALID_ARGUMENT, "routing is NULL", mox_feed_forward_route, feed_forward_.get(), &asked, nullptr);
  refuse(MOX_INVALID_ARGUMENT, "input is NULL", [](mox_batch& b) { b.input = nullptr; });
  refuse(
      MOX_INVALID_ARGUMENT, "output is NULL", [](mox_batch& b) { b.output = nullptr; }, false);
  refuse(MOX_INVALID_ARGUMENT, "ranges is NULL", [](mox_batch& b) { b.ranges = nullptr; });
}

TEST_F(FeedForwardArguments, StructSize) {
  refuse(MOX_INVALID_ARGUMENT, "struct_size is 0", [](mox_batch& b) { b.struct_size = 0; });
  refuse(MOX_INVALID_ARGUMENT, "struct_size is 1000000", [](mox_batch& b) { b.struct_size = 1000000; });
}

TEST_F(FeedForwardArguments, TypesAndStrides) {
  refuse(MOX_INVALID_ARGUMENT, "input_dtype", [](mox_batch& b) { b.input_dtype = MOX_F16; });
  refuse(MOX_INVALID_ARGUMENT, "input_dtype", [](mox_batch& b) { b.input_dtype = static_cast<mox_dtype>(99); });
  refuse(
      MOX_INVALID_ARGUMENT, "output_dtype", [](mox_batch& b) { b.output_dtype = MOX_F64; }, false);
  for (const int64_t stride : {int64_t{47}, int64_t{1}, int64_t{-48}, std::numeric_limits<int64_t>::max()}) {
    refuse(MOX_INVALID_ARGUMENT, "input_stride", [&](mox_batch& b) { b.input_stride = stride; });
    refuse(
        MOX_INVALID_ARGUMENT, "output_stride", [&](mox_batch& b) { b.output_stride = stride; }, false);
  }
  refuse(MOX_INVALID_ARGUMENT, "rows is -1", [](mox_batch& b) { b.rows = -1; });
}

TEST_F(FeedForwardArguments, RangesCoverEveryRowOnce) {
  refuse_ranges("rows 0 to 0 are in no range", {{nullptr, 1, rows}});
  refuse_ranges("rows 11 to 11 are in no range", {{nullptr, 0, 11}});
  refuse_ranges("rows 5 to 6 are in no range", {{nullptr, 0, 5}, {nullptr, 7, rows}});
  refuse_ranges("rows 5 to 5 are in no range", {{nullptr, 6, rows}, {nullptr, 0, 5}});
  refuse_ranges("ranges[1] begins at row 4", {{nullptr, 0, 5}, {nullptr, 4, rows}});
  refuse_ranges("ranges[0] begins at row 4", {{nullptr, 4, rows}, {nullptr, 0, 5}});
  refuse_ranges("begins at row 0", {{nullptr, 0, rows}, {nullptr, 0, rows}});
  refuse_ranges("ranges[0]", {{nullptr, 0, rows + 1}});
  refuse_ranges("ranges[1]", {{nullptr, 0, rows}, {nullptr, rows, rows + 3}});
  refuse_ranges("ranges[0]", {{nullptr, -1, rows}});
  refuse_ranges("ranges[1]", {{nullptr, 0, rows}, {nullptr, 7, 3}});
  refuse_ranges("rows 0 to 11 are in no range", {});
}

TEST_F(FeedForwardArguments, AdapterOfAnotherBase) {
  // The same files over a base opened twice: still another base.
  refuse_ranges("another", {{lora_.get(), 0, 5}, {of_other_.get(), 5, rows}});
  refuse_ranges("ranges[1]", {{lora_.get(), 0, 5}, {of_other_.get(), 5, rows}});
  const Model model = open_model(runtime_, parity_base("llama-h48-float32"));
  const Adapter of_model = open_adapter(model, parity_adapter("h48-lora-r8"));
  refuse_ranges("another", {{of_model.get(), 0, rows}});
}

TEST_F(FeedForwardArguments, SequenceBegins) {
  const auto refuse_begins = [&](const std::string& words, const std::vector<int64_t>& begins) {
    refuse(MOX_INVALID_ARGUMENT, words, [&](mox_batch& b) {
      b.sequence_begins = begins.data();
      b.sequence_count = begins.size();
    });
  };
  refuse_begins("sequence_begins[1]", {0, 0});
  refuse_begins("sequence_begins[2]", {0, 5, 3});
  refuse_begins("sequence_begins[1]", {0, rows});
  refuse_begins("sequence_begins[0]", {-1, 4});
}

TEST_F(FeedForwardArguments, ARowNobodyCanRouteIsNamed) {
  for (const float bad : {std::nanf(""), HUGE_VALF, -HUGE_VALF}) {
    const std::vector<float> good = input_;
    input_[10 * hidden + 3] = bad;
    refuse(MOX_NUMERIC, "row 10", [](mox_batch&) {});
    input_ = good;
  }
}

TEST_F(FeedForwardArguments, EveryRouterNamesTheRow) {
  struct Kind {
    const char* adapter;
    const char* router;
  };
  for (const Kind kind : {Kind{"h48-dynamic-p80-t00", "mlp"}, Kind{"h48-switch-c2", "mlp"},
                          Kind{"h48-loramoe-all", "gate_proj"}, Kind{"h48-mola-k2", "gate_proj"}}) {
    const Adapter adapter = open_adapter(feed_forward_, parity_adapter(kind.adapter));
    ranges_ = {{nullptr, 0, 6}, {adapter.get(), 6, rows}};
    input_[9 * hidden] = std::nanf("");
    refuse(MOX_NUMERIC, "row 9", [](mox_batch&) {});
    refuse(MOX_NUMERIC, kind.router, [](mox_batch&) {});
  }
}

TEST_F(FeedForwardArguments, NanWhereNobodyRoutesStaysInItsRow) {
  mox_batch asked = batch();
  must(mox_feed_forward_run, feed_forward_.get(), &asked, nullptr, nullptr);
  const std::vector<float> good = output_;
  input_[2 * hidden + 7] = std::nanf("");
  must(mox_feed_forward_run, feed_forward_.get(), &asked, nullptr, nullptr);
  for (int64_t row = 0; row < rows; ++row) {
    for (int64_t c = 0; c < hidden; ++c) {
      const auto i = static_cast<size_t>(row * hidden + c);
      if (row == 2) {
        EXPECT_TRUE(std::isnan(output_[i]));
      } else {
        EXPECT_EQ(std::bit_cast<uint32_t>(output_[i]), std::bit_cast<uint32_t>(good[i])) << "row " << row;
      }
    }
  }
}

TEST_F(FeedForwardArguments, ABankNamesTheRow) {
  const FeedForward bank = open_feed_forward(runtime_, parity_base("mixtral"), 0);
  std::vector<float> input = random_rows(3, 40, 1);
  input[40 + 5] = std::nanf("");
  std::vector<float> output(input.size(), untouched);
  const std::vector<mox_range> all{{nullptr, 0, 3}};
  mox_batch asked = batch_of(3, input.data(), output.data(), all);
  refused(MOX_NUMERIC, "row 1", mox_feed_forward_run, bank.get(), &asked, nullptr, nullptr);
  EXPECT_EQ(output, std::vector<float>(input.size(), untouched));
}

TEST_F(FeedForwardArguments, DescribeAndFree) {
  mox_feed_forward_info info{};
  refused(MOX_INVALID_ARGUMENT, "struct_size is 0", mox_feed_forward_describe, feed_forward_.get(), &info);
  info.struct_size = sizeof(info);
  refused(MOX_INVALID_ARGUMENT, "feed_forward is NULL", mox_feed_forward_describe, nullptr, &info);
  refused(MOX_INVALID_ARGUMENT, "is NULL", mox_feed_forward_describe, feed_forward_.get(), nullptr);
  EXPECT_EQ(info.hidden, 0);
  mox_feed_forward_free(nullptr);

  // A client of an older header: only what it knows is written.
  struct {
    mox_feed_forward_info info;
    int64_t behind = -7;
  } older{};
  older.info.struct_size = offsetof(mox_feed_forward_info, ffn);
  must(mox_feed_forward_describe, feed_forward_.get(), &older.info);
  EXPECT_EQ(older.info.hidden, hidden);
  EXPECT_EQ(older.info.ffn, 0);
  EXPECT_EQ(older.info.struct_size, offsetof(mox_feed_forward_info, ffn));
  EXPECT_EQ(older.behind, -7);
}

TEST_F(FeedForwardArguments, Open) {
  mox_feed_forward* out = untouched_handle<mox_feed_forward>();
  const std::string folder = parity_base("llama-h48-float32");
  const auto open = [&](mox_status status, const std::string& words, const mox_runtime* runtime, const char* path,
                        int32_t layer, const mox_load_options* options = nullptr) {
    SCOPED_TRACE(words);
    refused(status, words, mox_feed_forward_open, const_cast<mox_runtime*>(runtime), path, layer, options, &out);
    EXPECT_EQ(out, untouched_handle<mox_feed_forward>());
  };
  open(MOX_INVALID_ARGUMENT, "runtime is NULL", nullptr, folder.c_str(), 0);
  open(MOX_INVALID_ARGUMENT, "folder is NULL", runtime_.get(), nullptr, 0);
  open(MOX_NOT_FOUND, "/no/such/folder", runtime_.get(), "/no/such/folder", 0);
  open(MOX_NOT_FOUND, "layer", runtime_.get(), folder.c_str(), 2);
  open(MOX_NOT_FOUND, "layer -1", runtime_.get(), folder.c_str(), -1);
  refused(MOX_INVALID_ARGUMENT, "feed_forward is NULL", mox_feed_forward_open, runtime_.get(), folder.c_str(), 0,
          nullptr, nullptr);
  mox_load_options options;
  mox_load_options_init(&options, sizeof(options));
  options.weights = static_cast<mox_weights>(9);
  open(MOX_INVALID_ARGUMENT, "weights", runtime_.get(), folder.c_str(), 0, &options);
  mox_load_options_init(&options, sizeof(options));
  EXPECT_EQ(options.packed_cache, MOX_PACKED_CACHE_OFF);
  EXPECT_EQ(options.map_packed_cache, 0);
  EXPECT_EQ(options.packed_cache_path, nullptr);
  options.packed_cache = static_cast<mox_packed_cache>(3);
  open(MOX_INVALID_ARGUMENT, "packed_cache is 3", runtime_.get(), folder.c_str(), 0, &options);
  mox_load_options_init(&options, sizeof(options));
  options.map_packed_cache = 2;
  open(MOX_INVALID_ARGUMENT, "map_packed_cache is 2", runtime_.get(), folder.c_str(), 0, &options);
  mox_load_options_init(&options, sizeof(options));
  options.packed_cache_path = "";
  open(MOX_INVALID_ARGUMENT, "packed_cache_path is empty", runtime_.get(), folder.c_str(), 0, &options);
  mox_load_options_init(&options, sizeof(options));
  options.struct_size = 5;
  open(MOX_INVALID_ARGUMENT, "struct_size is 5", runtime_.get(), folder.c_str(), 0, &options);
}

}  // namespace
}  // namespace api_test
