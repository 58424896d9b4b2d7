#include "checkpoint/rope_config.h"

#include <array>
#include <cmath>

#include "runtime/error.h"

namespace moxie::checkpoint {
namespace {

constexpr double largest_theta = 1e15;
constexpr double largest_factor = 1e9;
constexpr double largest_position = 1e12;

constexpr const char* known_kinds = "one of default, linear, dynamic, llama3, yarn, longrope";

struct ScalingFields {
  Fields fields;
  std::string name;  // "rope_scaling" or "rope_parameters"
};

// transformers 5 writes rope_parameters, earlier ones rope_scaling.
std::optional<ScalingFields> find_scaling(const Fields& fields) {
  auto before = fields.object("rope_scaling");
  auto since = fields.object("rope_parameters");
  if (before && since && before->json() != since->json()) {
    throw invalid_file(fields.file() + ": rope_scaling is " + show(before->json()) + " and rope_parameters is " +
                       show(since->json()) + "; expected one of them");
  }
  if (since) return ScalingFields{*since, "rope_parameters"};
  if (before) return ScalingFields{*before, "rope_scaling"};
  return std::nullopt;
}

std::string read_kind(const ScalingFields& scaling) {
  const auto kind = scaling.fields.string("rope_type");
  const auto older = scaling.fields.string("type");
  if (kind && older && *kind != *older) scaling.fields.refuse("type", "the same as rope_type, " + *kind);
  if (kind) return *kind;
  if (older) return *older;
  for (const auto& [name, value] : scaling.fields.json().items()) {
    if (value.is_object()) {
      scaling.fields.refuse_unsupported(name, "one rotary embedding for all layers is supported");
    }
    if (name != "rope_theta" && name != "partial_rotary_factor") scaling.fields.refuse("rope_type", known_kinds);
  }
  return "default";
}

double read_factor(const Fields& fields) { return fields.require_positive("factor", largest_factor); }

// Magnitude of cos and sin (arXiv 2309.00071, equation 22).
double yarn_magnitude(double factor, double scale) { return factor <= 1 ? 1.0 : 0.1 * scale * std::log(factor) + 1.0; }

// A zero stands for the default there.
double positive_or(const Fields& fields, const std::string& name, double otherwise) {
  const auto number = fields.number(name, 0, largest_factor);
  return number.value_or(0) == 0 ? otherwise : *number;
}

void read_yarn(const Fields& fields, Rope& rope) {
  rope.factor = read_factor(fields);
  rope.original_positions =
      fields.positive("original_max_position_embeddings", largest_position).value_or(rope.max_positions);
  rope.beta_fast = positive_or(fields, "beta_fast", 32);
  rope.beta_slow = positive_or(fields, "beta_slow", 1);
  if (rope.beta_fast < rope.beta_slow) fields.refuse("beta_fast", "at least beta_slow");
  rope.truncate = fields.boolean("truncate").value_or(true);
  const double scale = fields.number("mscale", 0, largest_factor).value_or(0);
  const double all = fields.number("mscale_all_dim", 0, largest_factor).value_or(0);
  const double derived = scale != 0 && all != 0 ? yarn_magnitude(rope.factor, scale) / yarn_magnitude(rope.factor, all)
                                                : yarn_magnitude(rope.factor, 1);
  rope.attention_factor = fields.positive("attention_factor", largest_factor).value_or(derived);
}

void read_llama3(const Fields& fields, Rope& rope) {
  rope.factor = read_factor(fields);
  rope.low_frequency_factor = fields.require_positive("low_freq_factor", largest_factor);
  rope.high_frequency_factor = fields.require_positive("high_freq_factor", largest_factor);
  rope.original_positions = fields.require_positive("original_max_position_embeddings", largest_position);
  if (rope.high_frequency_factor <= rope.low_frequency_factor) {
    fields.refuse("high_freq_factor", "more than low_freq_factor");
  }
}

std::vector<double> read_factors(const Fields& fields, const std::string& name, int64_t count) {
  const std::string expected = std::to_string(count) + " positive numbers, one for each rotating pair";
  const Json* list = fields.array(name);
  if (list == nullptr || list->size() != static_cast<size_t>(count)) fields.refuse(name, expected);
  std::vector<double> factors;
  for (const Json& item : *list) {
    const double factor = item.is_number() ? item.get<double>() : 0.0;
    if (!(factor > 0) || factor > largest_factor) fields.refuse(name, expected);
    factors.push_back(factor);
  }
  return factors;
}

void read_longrope(const Fields& top, const Fields& fields, Rope& rope) {
  // Written at the top level by those who trained with it; then `factor` has no say.
  auto original = top.positive("original_max_position_embeddings", largest_position);
  if (!original) original = fields.positive("original_max_position_embeddings", largest_position);
  const auto factor =
      original ? std::optional(rope.max_positions / *original) : fields.positive("factor", largest_factor);
  rope.original_positions = original.value_or(rope.max_positions);
  if (rope.original_positions <= 1) fields.refuse("original_max_position_embeddings", "more than 1");
  rope.factor = factor.value_or(1.0);
  const double derived =
      rope.factor <= 1 ? 1.0 : std::sqrt(1 + std::log(rope.factor) / std::log(rope.original_positions));
  rope.attention_factor = fields.positive("attention_factor", largest_factor).value_or(derived);
  rope.short_factor = read_factors(fields, "short_factor", rope.rotary_dim / 2);
  rope.long_factor = read_factors(fields, "long_factor", rope.rotary_dim / 2);
}

void refuse_unread(const Fields& fields) {
  for (const char* name :
       {"mrope_section", "mrope_interleaved", "short_mscale", "long_mscale", "llama_4_scaling_beta"}) {
    const Json* value = fields.value(name);
    if (value != nullptr && *value != false) fields.refuse_unsupported(name, "this field is not supported");
  }
}

double read_theta(const Fields& fields, const std::optional<ScalingFields>& scaling, const Family& family) {
  const std::string& name = family.fields.rope_theta;
  if (scaling && scaling->fields.has(name)) return *scaling->fields.number(name, 1, largest_theta);
  const auto theta = fields.number(name, family.rope_theta_zero_is_absent ? 0 : 1, largest_theta);
  if (!theta || *theta == 0) return family.rope_theta;
  if (*theta < 1) fields.refuse(name, "a number from 1 to 1e15");
  return *theta;
}

double read_partial(const Fields& fields, const std::optional<ScalingFields>& scaling) {
  constexpr const char* name = "partial_rotary_factor";
  if (scaling && scaling->fields.has(name)) return *scaling->fields.positive(name, 1);
  return fields.positive(name, 1).value_or(1.0);
}

}  // namespace

Rope read_rope(const Fields& fields, const Family& family, int64_t head_dim, int64_t max_positions) {
  Rope rope;
  rope.interleaved = family.interleaved;
  rope.rotary_dim = head_dim;
  rope.max_positions = static_cast<double>(max_positions);
  if (!family.rope_scaling) {
    rope.theta = read_theta(fields, std::nullopt, family);
    return rope;
  }
  const auto scaling = find_scaling(fields);
  const std::string kind = scaling ? read_kind(*scaling) : "default";
  rope.theta = read_theta(fields, scaling, family);
  rope.rotary_dim = static_cast<int64_t>(static_cast<double>(head_dim) * read_partial(fields, scaling));
  if (scaling) refuse_unread(scaling->fields);
  if (kind == "default") return rope;

  const Fields& within = scaling->fields;
  if (kind == "linear") {
    rope.scaling = RopeScaling::linear;
    rope.factor = read_factor(within);
  } else if (kind == "dynamic") {
    rope.scaling = RopeScaling::dynamic;
    rope.factor = read_factor(within);
    // The exponent divides by the rotating dimensions less two.
    if (rope.rotary_dim <= 2) within.refuse_unsupported("rope_type", "heads of more than 2 dimensions are expected");
  } else if (kind == "llama3") {
    rope.scaling = RopeScaling::llama3;
    read_llama3(within, rope);
  } else if (kind == "yarn") {
    rope.scaling = RopeScaling::yarn;
    read_yarn(within, rope);
    if (rope.theta <= 1) fields.refuse(family.fields.rope_theta, "more than 1 where yarn scales");
  } else if (kind == "longrope" || kind == "su") {
    rope.scaling = RopeScaling::longrope;
    read_longrope(fields, within, rope);
  } else {
    within.refuse_unsupported(within.has("rope_type") ? "rope_type" : "type", std::string("expected ") + known_kinds);
  }
  return rope;
}

}  // namespace moxie::checkpoint
