// Sizes that fit no vector, panel or tile: hidden widths 1 to 130 with any width inside, rank and number of rows, dense
// under several adapters at once and as a bank of experts, against the reference backend. Matrices are allocated to
// their exact size, so that the address sanitizer sees whatever reads or writes beyond.
#include <array>
#include <cmath>
#include <deque>
#include <random>

#include "support.h"

namespace api_test {
namespace {

constexpr int32_t lora_experts = 4;

class Values {
 public:
  explicit Values(uint32_t seed) : random_(seed) {}

  int64_t between(int64_t low, int64_t high) {
    return low + static_cast<int64_t>(random_() % static_cast<uint64_t>(high - low + 1));
  }
  std::vector<float> floats(int64_t count, float reach) {
    std::vector<float> values(static_cast<size_t>(count));
    for (float& value : values) value = (static_cast<float>(random_() >> 8) * 0x1p-23F - 1) * reach;
    return values;
  }
  // Its memory lives as long as this object.
  mox_matrix matrix(int64_t rows, int64_t columns, mox_dtype dtype, float reach) {
    const std::vector<float>& values = floats_.emplace_back(floats(rows * columns, reach));
    mox_matrix matrix{values.data(), rows, columns, 0, dtype};
    if (dtype == MOX_BF16) {
      std::vector<uint16_t>& rounded = bfloats_.emplace_back();
      for (const float value : values) rounded.push_back(to_bfloat16(value));
      matrix.data = rounded.data();
    }
    return matrix;
  }

 private:
  std::mt19937 random_;
  std::deque<std::vector<float>> floats_;
  std::deque<std::vector<uint16_t>> bfloats_;
};

struct Size {
  int64_t hidden, ffn, rank, rows;
  mox_dtype weights;
  bool bank;
};

class Layer {
 public:
  explicit Layer(const Size& size) : size_(size), values_(static_cast<uint32_t>(size.hidden)) {
    const auto reach = [](int64_t width) { return 1.5F / std::sqrt(static_cast<float>(width)); };
    for (int e = 0; e < (size.bank ? 5 : 1); ++e) {
      mox_expert_weights expert{};
      expert.gate = values_.matrix(size.ffn, size.hidden, size.weights, reach(size.hidden));
      expert.up = values_.matrix(size.ffn, size.hidden, size.weights, reach(size.hidden));
      expert.down = values_.matrix(size.hidden, size.ffn, size.weights, reach(size.ffn));
      experts_.push_back(expert);
    }
    router_ = values_.matrix(static_cast<int64_t>(experts_.size()), size.hidden, MOX_F32, 1);
    input_ = values_.floats(size.rows * size.hidden, 2);
    if (size.bank) return;
    for (const mox_adapter_kind kind : {MOX_ADAPTER_LORA, MOX_ADAPTER_MIXLORA, MOX_ADAPTER_LORAMOE}) describe(kind);
  }

  // What a batch makes of the input: base and adapters, a range each.
  std::vector<float> run(const Runtime& runtime) const {
    mox_feed_forward_description description;
    mox_feed_forward_description_init(&description, sizeof(description));
    description.kind = size_.bank ? MOX_FEED_FORWARD_EXPERTS : MOX_FEED_FORWARD_GATED;
    description.hidden = size_.hidden;
    description.ffn = size_.ffn;
    description.activation = MOX_ACTIVATION_SILU;
    description.experts = experts_.data();
    description.expert_count = static_cast<int32_t>(experts_.size());
    if (size_.bank) description.router = router_, description.top_k = 2;
    mox_feed_forward* made = nullptr;
    must(mox_feed_forward_create, runtime.get(), &description, &made);
    const FeedForward feed_forward(made);

    std::vector<Adapter> adapters(1);
    for (const mox_adapter_description& adapter : descriptions_) {
      mox_adapter* created = nullptr;
      must(mox_adapter_create, feed_forward.get(), &adapter, &created);
      adapters.emplace_back(created);
    }
    std::vector<mox_range> ranges;
    const auto count = static_cast<int64_t>(adapters.size());
    for (int64_t i = 0; i < count; ++i) {
      const mox_range range{adapters[static_cast<size_t>(i)].get(), size_.rows * i / count,
                            size_.rows * (i + 1) / count};
      if (range.begin < range.end) ranges.push_back(range);
    }
    std::vector<float> output(input_.size());
    const mox_batch batch = batch_of(size_.rows, input_.data(), output.data(), ranges);
    must(mox_feed_forward_run, feed_forward.get(), &batch, nullptr, nullptr);
    return output;
  }

 private:
  void describe(mox_adapter_kind kind) {
    const int32_t experts = kind == MOX_ADAPTER_LORA ? 1 : lora_experts;
    auto& projections = projections_.emplace_back();
    for (const mox_projection projection : {MOX_PROJECTION_GATE, MOX_PROJECTION_UP, MOX_PROJECTION_DOWN}) {
      const bool down = projection == MOX_PROJECTION_DOWN;
      const int64_t in = down ? size_.ffn : size_.hidden, out = down ? size_.hidden : size_.ffn;
      auto& factors = factors_.emplace_back();
      for (int32_t e = 0; e < experts; ++e) {
        factors.push_back({values_.matrix(size_.rank, in, MOX_F32, 0.3F),
                           values_.matrix(out, size_.rank, MOX_F32, 0.3F), 0.7F, nullptr});
      }
      mox_adapter_projection& made = projections[static_cast<size_t>(projection)];
      made = {projection, factors.data(), factors.size(), {}};
      if (kind == MOX_ADAPTER_LORAMOE) made.router = values_.matrix(experts, in, MOX_F32, 0.5F);
    }
    mox_adapter_description& description = descriptions_.emplace_back();
    mox_adapter_description_init(&description, sizeof(description));
    description.kind = kind;
    description.projections = projections.data();
    description.projection_count = projections.size();
    if (kind == MOX_ADAPTER_LORA) return;
    description.experts = experts;
    if (kind != MOX_ADAPTER_MIXLORA) return;
    description.top_k = 2;
    description.router = values_.matrix(experts, size_.hidden, MOX_F32, 1);
  }

  Size size_;
  Values values_;
  std::vector<mox_expert_weights> experts_;
  mox_matrix router_{};
  std::vector<float> input_;
  std::deque<std::vector<mox_lora_factors>> factors_;
  std::deque<std::array<mox_adapter_projection, 3>> projections_;
  std::deque<mox_adapter_description> descriptions_;
};

class Sizes : public testing::TestWithParam<NamedMachine> {};

TEST_P(Sizes, AgreeWithReference) {
  const Runtime runtime = make_runtime(2, GetParam().machine);
  const Runtime reference = make_runtime(1, {MOX_ISA_BEST, MOX_BACKEND_REFERENCE});
  Values sizes(7);
  const int64_t step = GetParam().slow() ? 3 : 1;
  for (int64_t hidden = 1; hidden <= 130; hidden += step) {
    for (const mox_dtype weights : {MOX_F32, MOX_BF16}) {
      for (const bool bank : {false, true}) {
        const Size size{hidden, sizes.between(1, 200), sizes.between(1, 20), sizes.between(1, 70), weights, bank};
        SCOPED_TRACE(testing::Message() << "hidden " << hidden << ", ffn " << size.ffn << ", rank " << size.rank
                                        << ", rows " << size.rows << (weights == MOX_BF16 ? ", bf16" : ", f32")
                                        << (bank ? ", bank" : ""));
        const Layer layer(size);
        const std::vector<float> expected = layer.run(reference), found = layer.run(runtime);
        // Rounding h to bfloat16 may go the other way where sums differ in their last bit.
        const float limit = weights == MOX_BF16 ? 2e-3F : 1e-5F;
        for (size_t i = 0; i < expected.size(); ++i) {
          ASSERT_NEAR(found[i], expected[i], limit * (1 + std::abs(expected[i]))) << "element " << i;
        }
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Machines, Sizes, testing::ValuesIn(machines()),
                         [](const testing::TestParamInfo<NamedMachine>& machine) { return machine.param.name; });

}  // namespace
}  // namespace api_test
