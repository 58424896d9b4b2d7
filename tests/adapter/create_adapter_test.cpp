// Adapters from the caller's factors: the same result as from a file, and refusals that name the argument.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "adapter/factors.h"
#include "adapter/open_adapter.h"
#include "adapter_folders.h"

namespace moxie::test {
namespace {

using adapter::Adapter;
using adapter::create_adapter;
using adapter::LoraSets;

constexpr int64_t hidden = 8, ffn = 12, rank = 2;
constexpr int32_t experts = 3;

mox_matrix matrix(const std::vector<float>& values, int64_t rows, int64_t columns) {
  return {values.data(), rows, columns, 0, MOX_F32};
}

// A complete description over small_base, to be broken by the tests.
class Given {
 public:
  explicit Given(mox_adapter_kind kind) {
    description.struct_size = sizeof(description);
    description.kind = kind;
    description.name = "given";
    const bool lora = kind == MOX_ADAPTER_LORA;
    plugged_in_ = kind == MOX_ADAPTER_LORAMOE || kind == MOX_ADAPTER_MOLA;
    if (!lora) {
      description.experts = experts;
      description.top_k = 2;
      description.top_p = 0.75F;
      description.capacity = 4;
    }
    if (!lora && !plugged_in_) description.router = matrix(store("router", experts * hidden), experts, hidden);
    for (const auto projection : {MOX_PROJECTION_GATE, MOX_PROJECTION_DOWN}) {
      const bool down = projection == MOX_PROJECTION_DOWN;
      add(projection, down ? ffn : hidden, down ? hidden : ffn, lora ? 1 : experts);
    }
    description.projections = projections.data();
    description.projection_count = projections.size();
  }

  const std::vector<float>& store(const std::string& seed, int64_t count) {
    values_.push_back(std::make_unique<std::vector<float>>(repeatable_values(seed, count)));
    return *values_.back();
  }

  std::vector<mox_lora_factors>& factors(size_t projection) { return *factors_[projection]; }

  [[nodiscard]] Adapter create() const { return create_adapter(description, small.linears); }

  void expect_refused(const std::vector<std::string>& parts) const {
    expect_refusal([&] { (void)create(); }, MOX_INVALID_ARGUMENT, parts);
  }

  Base small = small_base();
  mox_adapter_description description = {};
  std::vector<mox_adapter_projection> projections;

 private:
  void add(mox_projection projection, int64_t in, int64_t out, int32_t count) {
    auto list = std::make_unique<std::vector<mox_lora_factors>>();
    for (int32_t index = 0; index < count; ++index) {
      const std::string seed = std::to_string(projection) + "." + std::to_string(index);
      list->push_back({matrix(store("a" + seed, rank * in), rank, in), matrix(store("b" + seed, out * rank), out, rank),
                       2.0F, nullptr});
    }
    mox_adapter_projection entry = {projection, list->data(), list->size(), {}};
    if (plugged_in_) entry.router = matrix(store("router" + std::to_string(projection), experts * in), experts, in);
    projections.push_back(entry);
    factors_.push_back(std::move(list));
  }

  bool plugged_in_ = false;
  std::vector<std::unique_ptr<std::vector<float>>> values_;
  std::vector<std::unique_ptr<std::vector<mox_lora_factors>>> factors_;
};

TEST(CreateAdapter, PacksMixLora) {
  Given given(MOX_ADAPTER_MIXLORA);
  given.description.activation = MOX_ACTIVATION_RELU;
  const Adapter adapter = given.create();
  EXPECT_EQ(adapter.name, "given");
  EXPECT_EQ(adapter.experts, 3);
  EXPECT_EQ(adapter.rank, 2);
  EXPECT_TRUE(adapter.has_router_loss);
  EXPECT_EQ(adapter.parameters, experts * hidden + 2 * experts * rank * (hidden + ffn));
  const auto& feed_forward = adapter.layers.at(0).feed_forward;
  EXPECT_EQ(feed_forward.activation, MOX_ACTIVATION_RELU);
  EXPECT_EQ(unpacked(feed_forward.router->gate), repeatable_values("router", experts * hidden));
  EXPECT_EQ(feed_forward.gate->sets, 3);
  EXPECT_EQ(feed_forward.gate->scaling, 2.0F);
  EXPECT_EQ(unpacked(feed_forward.gate->b, 1), repeatable_values("b0.1", ffn * rank));
  EXPECT_EQ(unpacked(feed_forward.down->a, 2), repeatable_values("a2.2", rank * ffn));
  EXPECT_FALSE(feed_forward.up.has_value());
}

TEST(CreateAdapter, PacksPluggedInExperts) {
  Given given(MOX_ADAPTER_LORAMOE);
  const Adapter adapter = given.create();
  const LoraSets& down = *adapter.layers[0].feed_forward.down;
  EXPECT_EQ(down.rank, experts * rank);
  EXPECT_EQ(down.expert_rank, rank);
  EXPECT_EQ(down.router->kind, MOX_ROUTER_LORAMOE);
  EXPECT_EQ(down.router->in, ffn);
  EXPECT_FALSE(adapter.has_router_loss);
  EXPECT_FALSE(adapter.layers[0].feed_forward.router.has_value());
}

TEST(CreateAdapter, PacksPluggedInExpertsApartWhereRowsChooseAmongThem) {
  Given given(MOX_ADAPTER_MOLA);
  const Adapter some = given.create();
  const LoraSets& chosen = *some.layers[0].feed_forward.down;
  EXPECT_TRUE(chosen.chooses());
  EXPECT_EQ(chosen.sets, experts);
  EXPECT_EQ(chosen.rank, rank);
  EXPECT_EQ(unpacked(chosen.a, 2), repeatable_values("a2.2", rank * ffn));
  EXPECT_EQ(unpacked(chosen.b, 1), repeatable_values("b2.1", hidden * rank));
  EXPECT_EQ(chosen.router->in, ffn);

  given.description.top_k = experts;
  const Adapter all = given.create();
  const LoraSets& together = *all.layers[0].feed_forward.down;
  EXPECT_FALSE(together.chooses());
  EXPECT_EQ(together.sets, 1);
  EXPECT_EQ(together.rank, experts * rank);
}

TEST(CreateAdapter, HoldsAFactorInBfloat16WhereThatIsNoLoss) {
  for (const auto kind : {MOX_ADAPTER_MIXLORA, MOX_ADAPTER_LORAMOE}) {
    Given given(kind);
    std::vector<float> values = repeatable_values("narrow", hidden * rank);
    for (float& value : values) value = widen_bfloat16(round_to_bfloat16(value));
    values[3] = -0.0F;
    values[4] = 0x1p-130F;
    for (mox_lora_factors& pair : given.factors(1)) pair.b = matrix(values, hidden, rank);
    const Adapter narrow = given.create();
    const LoraSets& down = *narrow.layers[0].feed_forward.down;
    EXPECT_EQ(down.a.dtype(), MOX_F32);
    EXPECT_EQ(down.b.dtype(), MOX_BF16);
    if (kind == MOX_ADAPTER_MIXLORA) {
      for (int32_t set = 0; set < experts; ++set) {
        const std::vector<float> held = unpacked(down.b, set);
        EXPECT_EQ(std::memcmp(held.data(), values.data(), values.size() * sizeof(float)), 0) << "expert " << set;
      }
    }

    std::vector<float> wider = values;
    wider.back() = 0.1F;
    given.factors(1).back().b = matrix(wider, hidden, rank);
    EXPECT_EQ(given.create().layers[0].feed_forward.down->b.dtype(), MOX_F32);
  }
}

TEST(CreateAdapter, PutsFactorsAndGatesThatFillLargePagesSideBySide) {
  constexpr int64_t in = 10000;
  Adapter adapter;
  adapter.layers.resize(2);
  int seed = 0;
  const auto router = [&seed] {
    adapter::Router made;
    made.experts = experts;
    made.in = in;
    made.set_gate(repeatable_values(std::to_string(seed++), experts * in));
    return made;
  };
  for (adapter::LayerAdapter& layer : adapter.layers) {
    layer.feed_forward.router = router();
    LoraSets& sets = layer.feed_forward.down.emplace();
    sets.a = kernels::FactorBank(MOX_F32, 16, 1, 16, in);
    sets.b = kernels::FactorBank(MOX_F32, 32, 1, in, 16);
    sets.router = router();
  }
  adapter::gather(&adapter);

  std::vector<const kernels::FactorBank*> banks;
  seed = 0;
  for (const adapter::LayerAdapter& layer : adapter.layers) {
    const LoraSets& down = *layer.feed_forward.down;
    for (const auto* gate : {&layer.feed_forward.router->gate, &down.router->gate}) {
      EXPECT_EQ(unpacked(*gate), repeatable_values(std::to_string(seed++), experts * in));
      banks.push_back(gate);
    }
    banks.push_back(&down.a);
    banks.push_back(&down.b);
  }
  const auto at = [](const kernels::FactorBank* bank) {
    return static_cast<const std::byte*>(bank->panels_of(0).first);
  };
  std::sort(banks.begin(), banks.end(), [&](const auto* one, const auto* other) { return at(one) < at(other); });
  for (size_t i = 0; i + 1 < banks.size(); ++i) {
    const auto gap = at(banks[i + 1]) - at(banks[i]) - static_cast<int64_t>(banks[i]->bytes());
    EXPECT_TRUE(gap >= 0 && gap < 64) << "behind bank " << i << ": " << gap;
  }
}

TEST(CreateAdapter, TakesStridesAndBfloat16) {
  Given given(MOX_ADAPTER_LORA);
  const std::vector<uint16_t> wide(2 * 10, round_to_bfloat16(0.5F));
  given.factors(0)[0].a = {wide.data(), rank, hidden, 10, MOX_BF16};
  EXPECT_EQ(unpacked(given.create().layers[0].feed_forward.gate->a), std::vector<float>(rank * hidden, 0.5F));
}

TEST(CreateAdapter, KeepsDifferentScalingsApart) {
  Given given(MOX_ADAPTER_MIXLORA);
  given.factors(0)[2].scaling = 0.5F;
  const Adapter adapter = given.create();
  const LoraSets& gate = *adapter.layers[0].feed_forward.gate;
  for (const int64_t expert : {0, 2}) {
    std::vector<float> expected = repeatable_values("b0." + std::to_string(expert), ffn * rank);
    for (float& value : expected) value *= expert == 2 ? 0.5F : 2.0F;
    std::vector<float> found = unpacked(gate.b, expert);
    for (float& value : found) value *= gate.scaling;
    EXPECT_EQ(found, expected);
  }
}

TEST(CreateAdapter, RescalesByMagnitudes) {
  Given given(MOX_ADAPTER_LORA);
  const std::vector<float> magnitude(hidden, 3.0F);
  given.factors(1)[0].magnitude = magnitude.data();
  const Adapter adapter = given.create();
  EXPECT_TRUE(adapter.dora);
  const LoraSets& down = *adapter.layers[0].feed_forward.down;
  ASSERT_EQ(down.rescale.size(), 1U);
  const std::vector<float> weight = repeatable_values("down0", hidden * ffn);
  const std::vector<float> a = repeatable_values("a2.0", rank * ffn);
  const std::vector<float> b = repeatable_values("b2.0", hidden * rank);
  for (size_t row = 0; row < hidden; ++row) {
    double squares = 0;
    for (size_t column = 0; column < ffn; ++column) {
      const double delta = double{b[row * 2]} * a[column] + double{b[row * 2 + 1]} * a[ffn + column];
      squares += std::pow(double{weight[row * ffn + column]} + 2 * delta, 2);
    }
    EXPECT_FLOAT_EQ(down.rescale[0][row], static_cast<float>(3 / std::sqrt(squares)));
  }
}

TEST(CreateAdapter, NamesTheMatrixOfTheWrongSize) {
  Given given(MOX_ADAPTER_MIXLORA);
  given.factors(1)[2].a.columns = 11;
  given.expect_refused({"projections[1].factors[2].a is [2, 11]; expected [2, 12]"});
}

TEST(CreateAdapter, RefusesRanksThatDiffer) {
  Given given(MOX_ADAPTER_MIXLORA);
  given.factors(0)[1].a = matrix(given.store("x", 3 * hidden), 3, hidden);
  given.expect_refused({"projections[0].factors[1].a is [3, 8]; expected [2, 8]"});
}

TEST(CreateAdapter, RefusesAWithoutB) {
  Given given(MOX_ADAPTER_LORA);
  given.factors(0)[0].b.data = nullptr;
  given.expect_refused({"projections[0].factors[0].b.data is NULL"});
}

TEST(CreateAdapter, RefusesARankOfZero) {
  Given given(MOX_ADAPTER_LORA);
  given.factors(0)[0].a.rows = 0;
  given.expect_refused({"projections[0].factors[0].a has 0 rows"});
}

TEST(CreateAdapter, RefusesStrideAndDtype) {
  Given stride(MOX_ADAPTER_LORA);
  stride.factors(0)[0].a.row_stride = 7;
  stride.expect_refused({"projections[0].factors[0].a.row_stride is 7", "8"});
  Given dtype(MOX_ADAPTER_LORA);
  dtype.factors(0)[0].a.dtype = MOX_I8;
  dtype.expect_refused({"projections[0].factors[0].a.dtype"});
}

TEST(CreateAdapter, RefusesWhatIsNotFinite) {
  const std::vector<float> nan(64, std::numeric_limits<float>::quiet_NaN());
  Given factor(MOX_ADAPTER_LORA);
  factor.factors(0)[0].a.data = nan.data();
  factor.expect_refused({"projections[0].factors[0].a holds nan at [0, 0]"});
  Given gate(MOX_ADAPTER_MIXLORA);
  gate.description.router.data = nan.data();
  gate.expect_refused({"router holds nan"});
  Given magnitude(MOX_ADAPTER_LORA);
  magnitude.factors(1)[0].magnitude = nan.data();
  magnitude.expect_refused({"projections[1].factors[0].magnitude[0] is nan"});
  Given scaling(MOX_ADAPTER_LORA);
  scaling.factors(1)[0].scaling = std::numeric_limits<float>::infinity();
  scaling.expect_refused({"projections[1].factors[0].scaling is inf"});
}

TEST(CreateAdapter, RefusesRoutersInTheWrongPlace) {
  Given missing(MOX_ADAPTER_MIXLORA_SWITCH);
  missing.description.router.data = nullptr;
  missing.expect_refused({"router.data is NULL", "[3, 8]"});
  Given size(MOX_ADAPTER_MIXLORA);
  size.description.router.rows = 4;
  size.expect_refused({"router is [4, 8]; expected [3, 8]"});
  Given of_projection(MOX_ADAPTER_MOLA);
  of_projection.projections[1].router.data = nullptr;
  of_projection.expect_refused({"projections[1].router.data is NULL", "[3, 12]"});
  Given both(MOX_ADAPTER_MOLA);
  both.description.router = both.projections[0].router;
  both.expect_refused({"router is given", "mola"});
  Given plain(MOX_ADAPTER_LORA);
  plain.projections[0].router = matrix(plain.store("x", 24), 3, 8);
  plain.expect_refused({"projections[0].router is given"});
}

TEST(CreateAdapter, RefusesSettingsOutOfRange) {
  Given top_k(MOX_ADAPTER_MIXLORA);
  top_k.description.top_k = 4;
  top_k.expect_refused({"top_k is 4", "3"});
  Given top_p(MOX_ADAPTER_MIXLORA_DYNAMIC);
  top_p.description.top_p = std::numeric_limits<float>::quiet_NaN();
  top_p.expect_refused({"top_p is nan"});
  Given temperature(MOX_ADAPTER_MIXLORA_DYNAMIC);
  temperature.description.temperature = -1;
  temperature.expect_refused({"temperature is -1"});
  Given capacity(MOX_ADAPTER_MIXLORA_SWITCH);
  capacity.description.capacity = 0;
  capacity.expect_refused({"capacity is 0"});
  Given count(MOX_ADAPTER_LORAMOE);
  count.description.experts = 0;
  count.expect_refused({"experts is 0"});
  Given plain(MOX_ADAPTER_LORA);
  plain.description.experts = 3;
  plain.expect_refused({"experts is 3"});
  Given activation(MOX_ADAPTER_MOLA);
  activation.description.activation = MOX_ACTIVATION_RELU;
  activation.expect_refused({"activation is set", "mola"});
  Given kind(MOX_ADAPTER_LORA);
  kind.description.kind = static_cast<mox_adapter_kind>(6);
  kind.expect_refused({"kind is 6"});
}

TEST(CreateAdapter, RefusesProjectionsThatDoNotFit) {
  Given twice(MOX_ADAPTER_LORA);
  twice.projections[1] = twice.projections[0];
  twice.expect_refused({"projections[1].projection is given twice"});
  Given count(MOX_ADAPTER_MIXLORA);
  count.projections[0].factor_count = 2;
  count.expect_refused({"projections[0].factor_count is 2; expected 3"});
  Given none(MOX_ADAPTER_LORA);
  none.description.projection_count = 0;
  none.expect_refused({"projection_count is 0"});
  Given null(MOX_ADAPTER_LORA);
  null.description.projections = nullptr;
  null.expect_refused({"projections is NULL"});
  Given unknown(MOX_ADAPTER_LORA);
  unknown.projections[0].projection = static_cast<mox_projection>(3);
  unknown.expect_refused({"projections[0].projection is 3"});
  Given magnitude(MOX_ADAPTER_MOLA);
  magnitude.factors(0)[0].magnitude = magnitude.store("m", ffn).data();
  magnitude.expect_refused({"projections[0].factors[0].magnitude is given"});
  Given plain(MOX_ADAPTER_LORA);
  plain.small = small_base(false);
  plain.projections[0].projection = MOX_PROJECTION_UP;
  plain.expect_refused({"projections[0].projection is MOX_PROJECTION_UP"});
}

TEST(CreateAdapter, RefusesABankOfExperts) {
  const Given given(MOX_ADAPTER_LORA);
  const Base bank = small_bank();
  expect_refusal([&] { create_adapter(given.description, bank.linears); }, MOX_UNSUPPORTED, {"mixtral", "bank"});
}

}  // namespace
}  // namespace moxie::test
