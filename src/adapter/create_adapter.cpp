#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "adapter/factors.h"
#include "adapter/open_adapter.h"
#include "runtime/error.h"

namespace moxie::adapter {
namespace {

std::string shape_text(int64_t rows, int64_t columns) {
  return "[" + std::to_string(rows) + ", " + std::to_string(columns) + "]";
}

// `what` names the argument in every message. rows, columns: what is expected.
void check_matrix(const mox_matrix& matrix, int64_t rows, int64_t columns, const std::string& what) {
  if (matrix.data == nullptr) throw invalid_argument(what + ".data is NULL; expected " + shape_text(rows, columns));
  if (matrix.rows != rows || matrix.columns != columns) {
    throw invalid_argument(what + " is " + shape_text(matrix.rows, matrix.columns) + "; expected " +
                           shape_text(rows, columns));
  }
  if (matrix.row_stride != 0 && matrix.row_stride < columns) {
    throw invalid_argument(what + ".row_stride is " + std::to_string(matrix.row_stride) + "; expected 0 or at least " +
                           std::to_string(columns));
  }
  if (matrix.dtype != MOX_F32 && matrix.dtype != MOX_BF16 && matrix.dtype != MOX_F16) {
    throw invalid_argument(what + ".dtype is " + std::to_string(static_cast<int>(matrix.dtype)) +
                           "; expected float32, bfloat16 or float16");
  }
}

float element(const mox_matrix& matrix, int64_t index) {
  if (matrix.dtype == MOX_F32) return static_cast<const float*>(matrix.data)[index];
  const uint16_t bits = static_cast<const uint16_t*>(matrix.data)[index];
  return matrix.dtype == MOX_BF16 ? widen_bfloat16(bits) : widen_float16(bits);
}

std::vector<float> read_matrix(const mox_matrix& matrix, int64_t rows, int64_t columns, const std::string& what) {
  check_matrix(matrix, rows, columns, what);
  const int64_t stride = matrix.row_stride == 0 ? columns : matrix.row_stride;
  std::vector<float> values;
  values.reserve(static_cast<size_t>(rows * columns));
  for (int64_t row = 0; row < rows; ++row) {
    for (int64_t column = 0; column < columns; ++column) values.push_back(element(matrix, row * stride + column));
  }
  if (const int64_t index = find_non_finite(values); index >= 0) {
    throw invalid_argument(what + " holds " + std::to_string(values[static_cast<size_t>(index)]) + " at " +
                           shape_text(index / columns, index % columns) + "; expected finite values");
  }
  return values;
}

void check_experts(const mox_adapter_description& description) {
  const int32_t experts = description.experts;
  if (description.kind == MOX_ADAPTER_LORA) {
    if (experts == 0 || experts == 1) return;
    throw invalid_argument("experts is " + std::to_string(experts) + "; expected 0 with MOX_ADAPTER_LORA");
  }
  if (experts < 1) throw invalid_argument("experts is " + std::to_string(experts) + "; expected a number > 0");
  const bool top_k = description.kind == MOX_ADAPTER_MIXLORA || description.kind == MOX_ADAPTER_MOLA;
  if (top_k && (description.top_k < 1 || description.top_k > experts)) {
    throw invalid_argument("top_k is " + std::to_string(description.top_k) +
                           "; expected 1 to experts = " + std::to_string(experts));
  }
  if (description.kind == MOX_ADAPTER_MIXLORA_DYNAMIC) {
    if (!(description.top_p > 0 && description.top_p <= 1)) {
      throw invalid_argument("top_p is " + std::to_string(description.top_p) + "; expected a number > 0 and <= 1");
    }
    if (!(description.temperature >= 0) || !std::isfinite(description.temperature)) {
      throw invalid_argument("temperature is " + std::to_string(description.temperature) +
                             "; expected a finite number >= 0");
    }
  }
  if (description.kind == MOX_ADAPTER_MIXLORA_SWITCH && description.capacity < 1) {
    throw invalid_argument("capacity is " + std::to_string(description.capacity) + "; expected a number > 0");
  }
}

void check_description(const mox_adapter_description& description, const BaseLinears& base) {
  if (base.bank_of_experts) {
    throw unsupported("the base (" + base.family +
                      ") has a bank of experts; adapters are laid over dense feed-forwards");
  }
  const mox_adapter_kind kind = description.kind;
  if (kind < MOX_ADAPTER_LORA || kind > MOX_ADAPTER_MOLA) {
    throw invalid_argument("kind is " + std::to_string(static_cast<int>(kind)) + "; expected a mox_adapter_kind");
  }
  check_experts(description);
  if (description.activation < MOX_ACTIVATION_BASE || description.activation > MOX_ACTIVATION_RELU) {
    throw invalid_argument("activation is " + std::to_string(static_cast<int>(description.activation)) +
                           "; expected a mox_activation");
  }
  if (!is_mixlora(kind) && description.activation != MOX_ACTIVATION_BASE) {
    throw invalid_argument(
        std::string("activation is set; expected MOX_ACTIVATION_BASE, because only MixLoRA's experts "
                    "have one of their own and this is ") +
        kind_name(kind));
  }
  if (!is_mixlora(kind) && description.router.data != nullptr) {
    throw invalid_argument(std::string("router is given; expected none, because ") + kind_name(kind) +
                           (kind == MOX_ADAPTER_LORA ? " does not route" : " has a router on each projection"));
  }
  if (description.projections == nullptr && description.projection_count != 0) {
    throw invalid_argument("projections is NULL; expected " + std::to_string(description.projection_count));
  }
  if (!is_mixlora(kind) && description.projection_count == 0) {
    throw invalid_argument("projection_count is 0; expected at least 1");
  }
}

Router make_router(const mox_adapter_description& description, const mox_matrix& gate, int64_t in,
                   const std::string& what) {
  Router router;
  router.kind = router_kind_of(description.kind);
  router.experts = description.experts;
  router.top_k = description.top_k;
  router.top_p = description.top_p;
  router.temperature = description.temperature;
  router.capacity = description.capacity;
  router.in = in;
  router.set_gate(read_matrix(gate, description.experts, in, what));
  return router;
}

// Plug-in experts' magnitudes have no meaning (see MoE-PEFT), plain LoRA's and MixLoRA's rescale.
Factors read_factors(const mox_lora_factors& given, const LinearFactors& linear, bool plugged_in,
                     const std::string& what) {
  Factors factors;
  factors.a = read_matrix(given.a, linear.rank, linear.in, what + ".a");
  factors.b = read_matrix(given.b, linear.out, linear.rank, what + ".b");
  if (!std::isfinite(given.scaling)) {
    throw invalid_argument(what + ".scaling is " + std::to_string(given.scaling) + "; expected a finite number");
  }
  if (given.magnitude == nullptr) return factors;
  if (plugged_in) {
    throw invalid_argument(what +
                           ".magnitude is given; expected NULL, because experts with a router on each linear "
                           "add to its output and do not rescale it");
  }
  factors.magnitude.assign(given.magnitude, given.magnitude + linear.out);
  if (const int64_t index = find_non_finite(factors.magnitude); index >= 0) {
    throw invalid_argument(what + ".magnitude[" + std::to_string(index) + "] is " +
                           std::to_string(factors.magnitude[static_cast<size_t>(index)]) +
                           "; expected a finite number");
  }
  return factors;
}

// The kernels know one scaling for all experts of a linear: where they differ, B carries its own.
void unify_scalings(const mox_adapter_projection& projection, LinearFactors* linear, const std::string& what) {
  linear->scaling = projection.factors[0].scaling;
  bool same = true;
  for (size_t index = 1; index < projection.factor_count; ++index) {
    same = same && projection.factors[index].scaling == linear->scaling;
  }
  if (same) return;
  linear->scaling = 1;
  for (size_t index = 0; index < projection.factor_count; ++index) {
    std::vector<float>& b = linear->pairs[index].b;
    for (float& value : b) value *= projection.factors[index].scaling;
    if (find_non_finite(b) < 0) continue;
    throw invalid_argument(what + ".factors[" + std::to_string(index) + "].scaling is " +
                           std::to_string(projection.factors[index].scaling) +
                           "; expected one whose product with b float32 can hold");
  }
}

LinearFactors read_projection(const mox_adapter_description& description, const mox_adapter_projection& projection,
                              const BaseLinear& base, const std::string& what) {
  const bool plugged_in = description.kind == MOX_ADAPTER_LORAMOE || description.kind == MOX_ADAPTER_MOLA;
  const size_t pairs = description.kind == MOX_ADAPTER_LORA ? 1 : static_cast<size_t>(description.experts);
  if (projection.factor_count != pairs) {
    throw invalid_argument(what + ".factor_count is " + std::to_string(projection.factor_count) + "; expected " +
                           std::to_string(pairs));
  }
  if (projection.factors == nullptr) throw invalid_argument(what + ".factors is NULL");
  const int64_t rank = projection.factors[0].a.rows;
  const int64_t most = std::numeric_limits<int32_t>::max() / static_cast<int64_t>(pairs);
  if (rank < 1 || rank > most) {
    throw invalid_argument(what + ".factors[0].a has " + std::to_string(rank) + " rows; expected a rank from 1 to " +
                           std::to_string(most));
  }
  LinearFactors linear;
  linear.where = what;
  linear.in = base.in;
  linear.out = base.out;
  linear.rank = static_cast<int32_t>(rank);
  for (size_t index = 0; index < pairs; ++index) {
    linear.pairs.push_back(
        read_factors(projection.factors[index], linear, plugged_in, what + ".factors[" + std::to_string(index) + "]"));
  }
  unify_scalings(projection, &linear, what);
  return linear;
}

struct Place {
  BaseLinear BaseLayer::*base;
  std::optional<LoraSets> FeedForwardAdapter::*factors;
};

Place place_of(mox_projection projection, const BaseLinears& base, const std::string& what) {
  switch (projection) {
    case MOX_PROJECTION_GATE:
      return {&BaseLayer::gate, &FeedForwardAdapter::gate};
    case MOX_PROJECTION_UP:
      if (!base.gated) throw invalid_argument(what + ".projection is MOX_PROJECTION_UP; a plain feed-forward has none");
      return {&BaseLayer::up, &FeedForwardAdapter::up};
    case MOX_PROJECTION_DOWN:
      return {&BaseLayer::down, &FeedForwardAdapter::down};
  }
  throw invalid_argument(what + ".projection is " + std::to_string(static_cast<int>(projection)) +
                         "; expected a mox_projection");
}

}  // namespace

Adapter create_adapter(const mox_adapter_description& description, const BaseLinears& base) {
  check_description(description, base);
  const mox_adapter_kind kind = description.kind;
  Adapter adapter;
  adapter.name = description.name == nullptr ? "adapter" : description.name;
  adapter.kind = kind;
  adapter.experts = kind == MOX_ADAPTER_LORA ? 0 : description.experts;
  adapter.top_k = kind == MOX_ADAPTER_MIXLORA || kind == MOX_ADAPTER_MOLA ? description.top_k : 0;
  adapter.layers.resize(1);
  const BaseLayer& layer = base.layer(0);
  FeedForwardAdapter& feed_forward = adapter.layers[0].feed_forward;
  if (is_mixlora(kind)) {
    feed_forward.router = make_router(description, description.router, base.hidden, "router");
    feed_forward.activation = description.activation;
    adapter.parameters += parameters_of(*feed_forward.router);
  }

  for (size_t index = 0; index < description.projection_count; ++index) {
    const mox_adapter_projection& projection = description.projections[index];
    const std::string what = "projections[" + std::to_string(index) + "]";
    const Place place = place_of(projection.projection, base, what);
    if (feed_forward.*place.factors) throw invalid_argument(what + ".projection is given twice");
    const BaseLinear& linear = layer.*place.base;
    const LinearFactors factors = read_projection(description, projection, linear, what);
    adapter.rank = std::max(adapter.rank, factors.rank);
    adapter.parameters += parameters_of(factors);
    if (kind == MOX_ADAPTER_LORAMOE || kind == MOX_ADAPTER_MOLA) {
      Router router = make_router(description, projection.router, linear.in, what + ".router");
      adapter.parameters += parameters_of(router);
      feed_forward.*place.factors = pack_plugged_in(factors, std::move(router));
      continue;
    }
    if (projection.router.data != nullptr) {
      throw invalid_argument(what + ".router is given; expected none with " + kind_name(kind));
    }
    const LoraSets& sets =
        (feed_forward.*place.factors).emplace(pack_sets(factors, linear.weight, base.norms, MOX_INVALID_ARGUMENT));
    adapter.dora = adapter.dora || !sets.rescale.empty();
  }

  gather(&adapter);
  adapter.bytes = bytes_of(adapter);
  adapter.has_router_loss = is_mixlora(kind);
  adapter.router_kind = router_kind_of(kind);
  adapter.top_p = description.top_p;
  adapter.temperature = description.temperature;
  adapter.capacity = description.capacity;
  return adapter;
}

}  // namespace moxie::adapter
