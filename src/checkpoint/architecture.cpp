#include "checkpoint/architecture.h"

#include <array>
#include <charconv>

#include "runtime/error.h"

namespace moxie::checkpoint {
namespace {

void replace(std::string& text, std::string_view what, int64_t number) {
  for (size_t at = text.find(what); at != std::string::npos; at = text.find(what, at)) {
    text.replace(at, what.size(), std::to_string(number));
  }
}

struct ActivationName {
  const char* name;
  mox_activation activation;
};
constexpr std::array<ActivationName, 6> activations = {{{"silu", MOX_ACTIVATION_SILU},
                                                        {"swish", MOX_ACTIVATION_SILU},
                                                        {"gelu", MOX_ACTIVATION_GELU},
                                                        {"gelu_pytorch_tanh", MOX_ACTIVATION_GELU_TANH},
                                                        {"gelu_new", MOX_ACTIVATION_GELU_TANH},
                                                        {"relu", MOX_ACTIVATION_RELU}}};

// A number as tensor names carry it: no sign, no leading zeros.
std::optional<int64_t> take_number(std::string_view& text) {
  int64_t number = 0;
  const auto [end, code] = std::from_chars(text.data(), text.data() + text.size(), number);
  const auto length = static_cast<size_t>(end - text.data());
  if (code != std::errc{} || text[0] == '-' || (length > 1 && text[0] == '0')) return std::nullopt;
  text.remove_prefix(length);
  return number;
}

}  // namespace

std::string tensor_name(const std::string& pattern, int64_t layer, int64_t expert) {
  std::string name = pattern;
  replace(name, "{l}", layer);
  replace(name, "{e}", expert);
  return name;
}

std::string bias_name(const std::string& weight_name) {
  constexpr std::string_view ending = ".weight";
  if (!weight_name.ends_with(ending)) return {};
  return weight_name.substr(0, weight_name.size() - ending.size()) + ".bias";
}

std::optional<TensorPlace> match_tensor(std::string_view pattern, std::string_view name) {
  TensorPlace place;
  while (!pattern.empty()) {
    if (pattern.starts_with("{l}") || pattern.starts_with("{e}")) {
      const auto number = take_number(name);
      if (!number) return std::nullopt;
      (pattern[1] == 'l' ? place.layer : place.expert) = *number;
      pattern.remove_prefix(3);
    } else {
      if (name.empty() || name[0] != pattern[0]) return std::nullopt;
      pattern.remove_prefix(1);
      name.remove_prefix(1);
    }
  }
  if (!name.empty()) return std::nullopt;
  return place;
}

std::optional<mox_activation> activation_named(std::string_view name) {
  for (const ActivationName& known : activations) {
    if (name == known.name) return known.activation;
  }
  return std::nullopt;
}

const char* activation_name(mox_activation activation) {
  for (const ActivationName& known : activations) {
    if (activation == known.activation) return known.name;
  }
  return "base";
}

const char* rope_scaling_name(RopeScaling scaling) {
  switch (scaling) {
    case RopeScaling::none:
      return "none";
    case RopeScaling::linear:
      return "linear";
    case RopeScaling::dynamic:
      return "dynamic";
    case RopeScaling::llama3:
      return "llama3";
    case RopeScaling::yarn:
      return "yarn";
    case RopeScaling::longrope:
      return "longrope";
  }
  return "unknown";
}

void require_attention(const Architecture& architecture, const std::string& file) {
  const int64_t rotary = architecture.rope.rotary_dim;
  if (rotary >= 2 && rotary % 2 == 0) return;
  throw invalid_file(file + ": " + std::to_string(rotary) + " of the " + std::to_string(architecture.head_dim) +
                     " dimensions of a head rotate; expected a positive even number");
}

}  // namespace moxie::checkpoint
