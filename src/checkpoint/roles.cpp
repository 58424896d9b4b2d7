#include "checkpoint/roles.h"

#include <algorithm>

#include "checkpoint/text.h"

namespace moxie::checkpoint {
namespace {

constexpr size_t most_listed = 8;

std::string missing_tensors(const std::vector<Role>& roles, const TensorSource& tensors) {
  std::vector<std::string> names;
  int64_t expected = 0;
  int64_t there = 0;
  for (const Role& role : roles) {
    if (!role.required) continue;
    expected += role.layers * role.experts;
    // What a hostile configuration promises is not walked through to the end: a few absent names are enough.
    for (int64_t layer = 0; layer < role.layers; ++layer) {
      for (int64_t expert = 0; expert < role.experts && names.size() < most_listed; ++expert) {
        std::string name = tensor_name(role.pattern, layer, expert);
        if (tensors.find(name) < 0) names.push_back(std::move(name));
      }
    }
  }
  for (const TensorEntry& entry : tensors.entries()) {
    const Role* role = role_of(roles, entry.name);
    if (role != nullptr && role->required) ++there;
  }
  if (names.empty()) return {};
  const int64_t missing = expected - there;
  return tensors.path() + ": " + (missing == 1 ? "tensor " : std::to_string(missing) + " tensors are missing: ") +
         list_names(names, missing) + (missing == 1 ? " is missing" : "");
}

}  // namespace

std::vector<Role> roles_of(const Architecture& a) {
  const int64_t heads = int64_t{a.heads} * a.head_dim;
  const int64_t kv_heads = int64_t{a.kv_heads} * a.head_dim;
  const TensorNames& names = a.names;
  std::vector<Role> roles;
  const auto add = [&](const std::string& name, std::vector<int64_t> shape, int64_t layers, int64_t experts = 1,
                       bool required = true) {
    if (!name.empty()) roles.push_back({name, std::move(shape), layers, experts, required, false});
  };
  const auto add_linear = [&](const std::string& name, int64_t out, int64_t in, bool bias) {
    add(name, {out, in}, a.layers);
    if (bias && !name.empty()) add(bias_name(name), {out}, a.layers);
  };
  add(names.embedding, {a.vocabulary, a.hidden}, 1);
  add(names.final_norm, {a.hidden}, 1);
  add(names.head, {a.vocabulary, a.hidden}, 1, 1, !a.tied_embeddings);
  add(names.attention_norm, {a.hidden}, a.layers);
  add(names.feed_forward_norm, {a.hidden}, a.layers);
  add_linear(names.q, heads, a.hidden, a.attention_bias);
  add_linear(names.k, kv_heads, a.hidden, a.attention_bias);
  add_linear(names.v, kv_heads, a.hidden, a.attention_bias);
  add_linear(names.o, a.hidden, heads, a.output_bias);
  add_linear(names.gate, a.ffn, a.hidden, a.feed_forward_bias);
  add_linear(names.up, a.ffn, a.hidden, a.feed_forward_bias);
  add_linear(names.down, a.hidden, a.ffn, a.feed_forward_bias);
  add(names.router, {a.experts, a.hidden}, a.layers);
  add(names.expert_gate, {a.ffn, a.hidden}, a.layers, a.experts);
  add(names.expert_up, {a.ffn, a.hidden}, a.layers, a.experts);
  add(names.expert_down, {a.hidden, a.ffn}, a.layers, a.experts);
  for (const std::string& name : names.harmless) roles.push_back({name, {}, a.layers, 1, false, true});
  return roles;
}

const Role* role_of(const std::vector<Role>& roles, std::string_view name) {
  for (const Role& role : roles) {
    const auto place = match_tensor(role.pattern, name);
    if (place && place->layer < role.layers && place->expert < role.experts) return &role;
  }
  return nullptr;
}

std::vector<std::string> tensor_problems(const Architecture& architecture, const TensorSource& tensors) {
  const std::vector<Role> roles = roles_of(architecture);
  std::vector<std::string> problems;
  for (const TensorEntry& entry : tensors.entries()) {
    const std::string place = tensor_place(tensors, entry);
    const Role* role = role_of(roles, entry.name);
    if (role == nullptr) {
      problems.push_back(place + " " + shape_text(entry.shape) + ": a " + architecture.family +
                         " checkpoint has no use for it");
    } else if (!role->harmless && entry.shape != role->shape) {
      problems.push_back(place + " is " + shape_text(entry.shape) + "; expected " + shape_text(role->shape));
    } else if (!role->harmless && !is_weight_dtype(entry.dtype)) {
      problems.push_back(place + " is " + dtype_name(entry.dtype) + "; expected float32, bfloat16 or float16");
    }
  }
  const std::string missing = missing_tensors(roles, tensors);
  if (!missing.empty()) problems.push_back(missing);
  return problems;
}

}  // namespace moxie::checkpoint
