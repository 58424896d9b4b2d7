#include "cli/bench/made_up_adapters.h"

#include <cmath>

#include "cli/failure.h"

namespace moxie::cli::bench {
namespace {

// What all adapters of a kind are made from. All experts of a projection are given the same pair; each is packed by
// itself.
class Factors {
 public:
  Factors(const FfnShape& base, const AdapterKind& kind, const AdapterShape& shape) {
    const bool plain = kind.kind == MOX_ADAPTER_LORA;
    const bool plugged_in = kind.kind == MOX_ADAPTER_LORAMOE || kind.kind == MOX_ADAPTER_MOLA;
    const auto rank = static_cast<float>(shape.rank);
    const float alpha = 2 * rank;
    const float scaling = alpha / (kind.rank_stabilised ? std::sqrt(rank) : rank);
    description_ = defaults(mox_adapter_description_init);
    description_.kind = kind.kind;
    description_.name = kind.name;
    if (!plain) {
      description_.experts = shape.experts;
      description_.top_k = shape.top_k;
      description_.top_p = shape.top_p;
      description_.capacity = shape.capacity;
      if (!plugged_in) description_.router = matrix(shape.experts, base.hidden, MOX_F32);
    }
    for (const auto projection : {MOX_PROJECTION_GATE, MOX_PROJECTION_UP, MOX_PROJECTION_DOWN}) {
      const bool down = projection == MOX_PROJECTION_DOWN;
      const int64_t in = down ? base.ffn : base.hidden;
      const int64_t out = down ? base.hidden : base.ffn;
      mox_lora_factors pair{};
      pair.a = matrix(shape.rank, in, shape.factors);
      pair.b = matrix(out, shape.rank, shape.factors);
      pair.scaling = scaling;
      // The norm of a row of made-up weights is about 1.
      if (kind.dora) pair.magnitude = magnitudes_.emplace_back(static_cast<size_t>(out), 1.0F).data();
      pairs_.emplace_back(static_cast<size_t>(plain ? 1 : shape.experts), pair);
      mox_adapter_projection over{};
      over.projection = projection;
      over.factors = pairs_.back().data();
      over.factor_count = pairs_.back().size();
      if (plugged_in) over.router = matrix(shape.experts, in, MOX_F32);
      projections_.push_back(over);
    }
    description_.projections = projections_.data();
    description_.projection_count = projections_.size();
  }

  const mox_adapter_description& description() const { return description_; }

 private:
  mox_matrix matrix(int64_t rows, int64_t columns, mox_dtype dtype) {
    return matrices_.emplace_back(rows, columns, dtype, matrices_.size() + 11).matrix;
  }

  std::vector<SyntheticMatrix> matrices_;  // their data stay where they are when the list grows
  std::vector<std::vector<float>> magnitudes_;
  std::vector<std::vector<mox_lora_factors>> pairs_;
  std::vector<mox_adapter_projection> projections_;
  mox_adapter_description description_{};
};

}  // namespace

const std::vector<AdapterKind>& adapter_kinds() {
  static const std::vector<AdapterKind> table{
      {"lora", MOX_ADAPTER_LORA, false, false},
      {"rslora", MOX_ADAPTER_LORA, true, false},
      {"dora", MOX_ADAPTER_LORA, false, true},
      {"mixlora", MOX_ADAPTER_MIXLORA, false, false},
      {"mixlora-dynamic", MOX_ADAPTER_MIXLORA_DYNAMIC, false, false},
      {"mixlora-switch", MOX_ADAPTER_MIXLORA_SWITCH, false, false},
      {"loramoe", MOX_ADAPTER_LORAMOE, false, false},
      {"mola", MOX_ADAPTER_MOLA, false, false},
  };
  return table;
}

std::vector<std::string> adapter_kind_names() {
  std::vector<std::string> names;
  for (const auto& kind : adapter_kinds()) names.emplace_back(kind.name);
  return names;
}

const AdapterKind& adapter_kind_called(const std::string& name) {
  for (const auto& kind : adapter_kinds()) {
    if (name == kind.name) return kind;
  }
  throw UsageError("there is no kind of adapter '" + name + "'");
}

std::vector<Adapter> make_adapters(const FeedForward& feed_forward, const FfnShape& base, const AdapterKind& kind,
                                   const AdapterShape& shape, size_t count) {
  const Factors factors(base, kind, shape);
  std::vector<Adapter> adapters;
  for (size_t i = 0; i < count; ++i) {
    adapters.push_back(make<Adapter>(mox_adapter_create, feed_forward.get(), &factors.description()));
  }
  return adapters;
}

int64_t adapter_bytes(const FfnShape& base, const AdapterShape& shape) {
  const int64_t values = int64_t{3} * shape.experts * (shape.rank + 1) * (base.hidden + base.ffn);
  return values * static_cast<int64_t>(mox_dtype_size(shape.factors));
}

}  // namespace moxie::cli::bench
