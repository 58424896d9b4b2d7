// The promise of the feed-forward: a row's output bits depend on that row, its adapter and the weights only; not on the
// rest of the batch, nor on the number of threads. What the routers decide keeps it too.
#include <algorithm>
#include <cmath>
#include <numeric>
#include <tuple>

#include "support.h"

namespace api_test {
namespace {

struct Base {
  std::string name;
  std::string folder;
  int32_t layer;
  std::vector<std::string> adapters;  // besides the plain base
  friend void PrintTo(const Base& base, std::ostream* out) { *out << base.name; }
};

std::vector<std::string> nine_kinds() {
  return {
      parity_adapter("h48-lora-r8"),         parity_adapter("h48-rslora-r16"),  parity_adapter("h48-dora-magnitude-r4"),
      parity_adapter("h48-mixlora-top2-e8"), parity_adapter("h48-mixdora"),     parity_adapter("h48-dynamic-p80-t00"),
      parity_adapter("h48-switch-c2"),       parity_adapter("h48-loramoe-all"), parity_adapter("h48-mola-k2")};
}

std::vector<Base> bases() {
  const std::vector<std::string> wide{parity_adapter("h128-lora-r16"), parity_adapter("h128-mixlora-top2-e8"),
                                      parity_adapter("h128-mola-k2")};
  const std::vector<std::string> trained{example("kjv-mixlora"),      example("kjv-mixlora-dynamic"),
                                         example("melville-loramoe"), example("presidents-mola"),
                                         example("jargon-lora"),      example("jargon-dora")};
  return {{"h48_float32", parity_base("llama-h48-float32"), 0, nine_kinds()},
          {"h48_bfloat16", parity_base("llama-h48-bfloat16"), 1, nine_kinds()},
          {"h128_float32", parity_base("llama-h128-float32"), 0, wide},
          {"h128_bfloat16", parity_base("llama-h128-bfloat16"), 0, wide},
          {"tiny_llama", example("tiny-llama"), 3, trained},
          {"mixtral_float32", parity_base("mixtral"), 1, {}},
          {"mixtral_bfloat16", parity_base("mixtral-bf16"), 0, {}},
          {"tiny_mixtral", example("tiny-mixtral"), 2, {}}};
}

// Rows that have to stay together: one row, or for the switch router, whose capacity counts per sequence, a sequence.
struct Unit {
  size_t adapter;  // 0: the plain base
  std::vector<size_t> rows;
};

// What the feed-forward made of one row: output, router logits, weights and experts, as bits.
using RowBits = std::vector<uint32_t>;

class Case {
 public:
  Case(const Runtime& runtime, const Base& base) : feed_forward_(open_feed_forward(runtime, base.folder, base.layer)) {
    hidden_ = describe(feed_forward_).hidden;
    adapters_.emplace_back();
    for (const std::string& folder : base.adapters) adapters_.push_back(open_adapter(feed_forward_, folder));
  }

  [[nodiscard]] int64_t hidden() const { return hidden_; }
  [[nodiscard]] size_t adapters() const { return adapters_.size(); }
  [[nodiscard]] bool counts_per_sequence(size_t adapter) const {
    return adapter > 0 && describe(adapters_[adapter]).kind == MOX_ADAPTER_MIXLORA_SWITCH;
  }

  // Runs the units in that order, a range for each group; results go to result[row].
  void run(const std::vector<float>& pool, const std::vector<std::vector<Unit>>& groups,
           std::vector<RowBits>& result) const {
    const auto width = static_cast<size_t>(hidden_);
    std::vector<float> input;
    std::vector<size_t> rows;
    std::vector<mox_range> ranges;
    std::vector<int64_t> begins;
    for (const std::vector<Unit>& group : groups) {
      const auto begin = static_cast<int64_t>(rows.size());
      for (const Unit& unit : group) {
        begins.push_back(static_cast<int64_t>(rows.size()));
        for (const size_t row : unit.rows) {
          rows.push_back(row);
          input.insert(input.end(), pool.begin() + static_cast<ptrdiff_t>(row * width),
                       pool.begin() + static_cast<ptrdiff_t>((row + 1) * width));
        }
      }
      ranges.push_back({adapters_[group.front().adapter].get(), begin, static_cast<int64_t>(rows.size())});
    }
    std::vector<float> output(input.size(), -1);
    // The order in which ranges are named must not matter either.
    std::reverse(ranges.begin(), ranges.end());
    mox_batch batch = batch_of(static_cast<int64_t>(rows.size()), input.data(), output.data(), ranges);
    batch.sequence_begins = begins.data();
    batch.sequence_count = begins.size();
    mox_routing* raw = nullptr;
    must(mox_feed_forward_run, feed_forward_.get(), &batch, nullptr, &raw);
    const Routing routing(raw);

    for (size_t i = 0; i < rows.size(); ++i) {
      const std::vector<float> row(output.begin() + static_cast<ptrdiff_t>(i * width),
                                   output.begin() + static_cast<ptrdiff_t>((i + 1) * width));
      result[rows[i]] = bits_of(row);
    }
    for (size_t r = 0; r < ranges.size(); ++r)
      append_routing(routing, static_cast<int64_t>(r), ranges[r], rows, result);
  }

 private:
  static void append_routing(const Routing& routing, int64_t range, const mox_range& where,
                             const std::vector<size_t>& rows, std::vector<RowBits>& result) {
    mox_routing_info info{};
    info.struct_size = sizeof(info);
    must(mox_routing_describe, routing.get(), 0, range, &info);
    ASSERT_EQ(info.rows, where.end - where.begin);
    const auto count = static_cast<size_t>(info.rows * info.routers);
    const auto experts = static_cast<size_t>(info.experts);
    const auto places = static_cast<size_t>(info.places);
    std::vector<float> logits(count * experts);
    std::vector<float> weights(count * places);
    std::vector<int32_t> ids(count * places);
    must(mox_routing_read, routing.get(), 0, range, logits.data(), ids.data(), weights.data());
    for (size_t i = 0; i < count; ++i) {
      RowBits& bits = result[rows[static_cast<size_t>(where.begin) + i % static_cast<size_t>(info.rows)]];
      for (size_t e = 0; e < experts; ++e) bits.push_back(std::bit_cast<uint32_t>(logits[i * experts + e]));
      for (size_t p = 0; p < places; ++p) {
        bits.push_back(std::bit_cast<uint32_t>(weights[i * places + p]));
        bits.push_back(static_cast<uint32_t>(ids[i * places + p]));
      }
    }
  }

  FeedForward feed_forward_;
  std::vector<Adapter> adapters_;
  int64_t hidden_ = 0;
};

// Units in any order, joined to a range with their neighbours of the same adapter, or not, by chance.
std::vector<std::vector<Unit>> grouped(const std::vector<Unit>& units, double join, std::mt19937& random) {
  std::vector<std::vector<Unit>> groups;
  std::uniform_real_distribution<double> draw(0, 1);
  for (const Unit& unit : units) {
    const bool same = !groups.empty() && groups.back().front().adapter == unit.adapter;
    if (same && draw(random) < join) {
      groups.back().push_back(unit);
    } else {
      groups.push_back({unit});
    }
  }
  return groups;
}

using Parameter = std::tuple<NamedMachine, Base>;

class FeedForwardBits : public testing::TestWithParam<Parameter> {
 protected:
  static void expect_equal(const std::vector<RowBits>& found, const std::vector<RowBits>& alone, const char* how) {
    for (size_t row = 0; row < alone.size(); ++row) {
      if (found[row].empty()) continue;  // not part of this composition
      if (found[row] == alone[row]) continue;
      const auto differ = std::mismatch(found[row].begin(), found[row].end(), alone[row].begin(), alone[row].end());
      ADD_FAILURE() << how << ": row " << row << " differs from the row alone at element "
                    << differ.first - found[row].begin() << " of " << alone[row].size();
      return;
    }
  }
};

TEST_P(FeedForwardBits, DependOnRowAdapterAndWeightsOnly) {
  const auto& [machine, base] = GetParam();
  std::mt19937 random(11);
  const Runtime one_thread = make_runtime(1, machine.machine);
  const Case reference(one_thread, base);

  std::vector<Unit> units;
  size_t rows = 0;
  const size_t rows_per_adapter = machine.slow() ? 7 : 21;
  for (size_t adapter = 0; adapter < reference.adapters(); ++adapter) {
    // Many rows of the plain base: enough for every blocking of rows a kernel may have.
    const size_t end = rows + (adapter == 0 ? 4 * rows_per_adapter : rows_per_adapter);
    while (rows < end) {
      const size_t together = reference.counts_per_sequence(adapter) ? 1 + random() % 6 : 1;
      Unit unit{adapter, std::vector<size_t>(together)};
      std::iota(unit.rows.begin(), unit.rows.end(), rows);
      rows += together;
      units.push_back(std::move(unit));
    }
  }
  const std::vector<float> pool = random_rows(static_cast<int64_t>(rows), reference.hidden(), 5);

  std::vector<RowBits> alone(rows);
  for (const Unit& unit : units) reference.run(pool, {{unit}}, alone);
  for (const RowBits& bits : alone) {
    const float first = std::bit_cast<float>(bits.front());
    ASSERT_TRUE(std::isfinite(first) && first != 0 && first != -1);
  }

  for (const int32_t threads : {1, 2, 3}) {
    SCOPED_TRACE(std::to_string(threads) + " threads");
    const Runtime runtime = make_runtime(threads, machine.machine);
    const Case subject(runtime, base);
    const auto check = [&](const std::vector<std::vector<Unit>>& groups, const char* how) {
      std::vector<RowBits> found(rows);
      subject.run(pool, groups, found);
      expect_equal(found, alone, how);
    };
    check(grouped(units, 1, random), "one range for each adapter");
    check(grouped(units, 0, random), "one range for each row");
    for (int repeat = 0; repeat < (machine.slow() ? 1 : 4); ++repeat) {
      std::vector<Unit> shuffled = units;
      std::shuffle(shuffled.begin(), shuffled.end(), random);
      check(grouped(shuffled, 0.5, random), "shuffled");
      // A part of the batch, down to a few rows: the counts a kernel takes special paths for.
      for (size_t size = 2; size < shuffled.size(); size += 1 + size / 2) {
        std::vector<Unit> part(shuffled.begin(), shuffled.begin() + static_cast<ptrdiff_t>(size));
        std::stable_sort(part.begin(), part.end(), [](const Unit& a, const Unit& b) { return a.adapter < b.adapter; });
        check(grouped(part, 0.9, random), "a part, sorted by adapter");
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Machines, FeedForwardBits,
                         testing::Combine(testing::ValuesIn(machines()), testing::ValuesIn(bases())),
                         [](const auto& tested) {
                           return std::get<0>(tested.param).name + "_" + std::get<1>(tested.param).name;
                         });

}  // namespace
}  // namespace api_test
