#include "checkpoint/config.h"

#include "checkpoint/families/family.h"
#include "checkpoint/rope_config.h"
#include "checkpoint/text.h"
#include "runtime/error.h"

namespace moxie::checkpoint {
namespace {

constexpr int64_t widest = int64_t{1} << 20;
constexpr int64_t most_layers = 10000;
constexpr int64_t most_heads = 65536;
constexpr int64_t most_experts = 4096;
constexpr int64_t most_positions = int64_t{1} << 40;
constexpr int64_t largest_vocabulary = int64_t{1} << 24;

bool is_neutral(const Json& value, const char* neutral) {
  const Json literal = Json::parse(neutral);
  if (value.is_null() || value == literal) return true;
  if (value == false) return literal != true;
  return value == "" || (value.is_structured() && value.empty());
}

void refuse_fields(const Fields& fields, const Family& family) {
  for (const RefusedField& refused : family.refused) {
    const std::string name = refused.name;
    const size_t dot = name.find('.');
    const auto within = dot == std::string::npos ? std::optional(fields) : fields.object(name.substr(0, dot));
    if (!within) continue;
    const std::string field = dot == std::string::npos ? name : name.substr(dot + 1);
    const Json* value = within->value(field);
    if (value == nullptr || is_neutral(*value, refused.neutral)) continue;
    within->refuse_unsupported(field, "it changes the result and is not supported for " + family.name);
  }
}

// A count with a default of the family; 0 as the default means what `derived` says.
int64_t count_or(const Fields& fields, const std::string& name, const std::optional<int64_t>& otherwise,
                 int64_t derived, int64_t most) {
  if (!otherwise) return fields.require_integer(name, 1, most);
  const auto count = fields.integer(name, 1, most);
  if (count) return *count;
  // null asks for the derived figure even where the family has a default of its own.
  return *otherwise == 0 || fields.present(name) ? derived : *otherwise;
}

void read_heads(const Fields& fields, const Family& family, Architecture& result) {
  const FieldNames& names = family.fields;
  result.heads = static_cast<int32_t>(fields.require_integer(names.heads, 1, most_heads));
  result.kv_heads = static_cast<int32_t>(count_or(fields, names.kv_heads, family.kv_heads, result.heads, most_heads));
  if (result.heads % result.kv_heads != 0) {
    fields.refuse(names.kv_heads,
                  "a divisor of " + names.heads + ", " + std::to_string(result.heads) +
                      (fields.has(names.kv_heads) ? "" : " (its default is " + std::to_string(result.kv_heads) + ")"));
  }
  const int64_t derived = result.hidden / result.heads;
  result.head_dim = static_cast<int32_t>(count_or(fields, names.head_dim, family.head_dim, derived, most_heads));
  if (result.head_dim == 0) {
    fields.refuse(names.head_dim, "a number where " + names.hidden + " / " + names.heads + " is less than 1");
  }
}

void read_experts(const Fields& fields, const Family& family, Architecture& result) {
  if (!family.experts) return;
  const FieldNames& names = family.fields;
  const auto within = names.experts_object.empty() ? std::optional(fields) : fields.object(names.experts_object);
  if (!within) return;
  const auto read = [&](const std::string& name, int64_t otherwise, int64_t most) {
    const int64_t count = within->present(name) || otherwise == 0 ? within->require_integer(name, 1, most) : otherwise;
    return static_cast<int32_t>(count);
  };
  result.experts = read(names.experts, family.expert_count, most_experts);
  result.top_k = read(names.top_k, family.top_k, result.experts);
  if (result.top_k > result.experts) {
    within->refuse(names.top_k, "at most " + names.experts + ", " + std::to_string(result.experts) +
                                    " (its default is " + std::to_string(result.top_k) + ")");
  }
}

void read_window_list(const Fields& fields, const std::string& name, Architecture& result) {
  const Json& list = *fields.array(name);
  const auto length = static_cast<int64_t>(list.size());
  if (length == 0 || result.layers % length != 0) {
    fields.refuse(name, "a list whose length divides the " + std::to_string(result.layers) + " layers");
  }
  for (int64_t layer = 0; layer < result.layers; ++layer) {
    const Json& item = list[static_cast<size_t>(layer % length)];
    const auto number = as_integer(item);
    if (number ? *number < 1 || *number > most_positions : !item.is_null()) {
      fields.refuse(name, "a list of positive integers and nulls");
    }
    result.windows[static_cast<size_t>(layer)] = number.value_or(0);
  }
}

void read_windows(const Fields& fields, const Family& family, Architecture& result) {
  result.windows.assign(static_cast<size_t>(result.layers), 0);
  if (family.window == WindowRule::none) return;
  std::string name = "sliding_window";
  if (family.window == WindowRule::number_or_list) {
    const std::string other = "_sliding_window";
    if (fields.has(name) && fields.has(other)) fields.refuse(other, "nothing beside sliding_window");
    if (fields.has(other)) name = other;
    if (fields.has(name) && fields.value(name)->is_array()) return read_window_list(fields, name, result);
  }
  // null says that there is none, even where the family has a default.
  const int64_t otherwise = fields.present(name) ? 0 : family.window_when_absent;
  const int64_t window = fields.integer(name, 1, most_positions).value_or(otherwise);
  result.windows.assign(static_cast<size_t>(result.layers), window);
}

// Newer configurations repeat for every layer what the window already says. Saying something else is refused.
void check_layer_types(const Fields& fields, const Architecture& result) {
  constexpr const char* name = "layer_types";
  const Json* types = fields.array(name);
  if (types == nullptr) return;
  if (types->size() != result.windows.size()) {
    fields.refuse(name, "one for each of the " + std::to_string(result.layers) + " layers");
  }
  for (size_t layer = 0; layer < types->size(); ++layer) {
    const char* expected = result.windows[layer] == 0 ? "full_attention" : "sliding_attention";
    if ((*types)[layer] == expected) continue;
    fields.refuse_unsupported(
        name, "expected " + quote(expected) + " for layer " + std::to_string(layer) + " of " + result.family);
  }
}

mox_activation read_activation(const Fields& fields, const Family& family) {
  const std::string& name = family.fields.activation;
  const auto text = name.empty() ? std::nullopt : fields.string(name);
  if (!text) return family.activation;
  const auto activation = activation_named(*text);
  if (!activation) {
    fields.refuse_unsupported(name, "expected one of silu, swish, gelu, gelu_new, gelu_pytorch_tanh, relu");
  }
  return *activation;
}

bool read_flag(const Fields& fields, const std::string& name, bool otherwise) {
  return name.empty() ? otherwise : fields.boolean(name).value_or(otherwise);
}

// A token where one is named; lists of several count as not stated.
int32_t read_token(const Fields& fields, const std::string& name) {
  const Json* value = fields.value(name);
  const auto token = value == nullptr ? std::nullopt : as_integer(*value);
  return token && *token >= 0 && *token <= INT32_MAX ? static_cast<int32_t>(*token) : -1;
}

TensorNames names_in_use(const Family& family, const Architecture& result) {
  TensorNames names = family.names;
  if (result.experts > 0) {
    names.gate.clear();
    names.up.clear();
    names.down.clear();
  } else {
    names.router.clear();
    names.expert_gate.clear();
    names.expert_up.clear();
    names.expert_down.clear();
  }
  return names;
}

Architecture resolve(const Fields& fields, const Family& family) {
  const FieldNames& names = family.fields;
  refuse_fields(fields, family);
  Architecture result;
  result.family = family.name;
  result.format = family.format;
  result.hidden = fields.require_integer(names.hidden, 1, widest);
  result.ffn = fields.require_integer(names.ffn, 1, widest);
  result.vocabulary = fields.require_integer(names.vocabulary, 1, largest_vocabulary);
  result.layers = static_cast<int32_t>(fields.require_integer(names.layers, 1, most_layers));
  read_heads(fields, family, result);
  read_experts(fields, family, result);
  if (family.norm_epsilon) {
    result.norm_epsilon = fields.positive(names.norm_epsilon, 1).value_or(*family.norm_epsilon);
  } else {
    result.norm_epsilon = fields.require_positive(names.norm_epsilon, 1);
  }
  result.max_positions = names.max_positions.empty()
                             ? 0
                             : fields.integer(names.max_positions, 1, most_positions).value_or(*family.max_positions);
  result.activation = read_activation(fields, family);
  result.tied_embeddings = read_flag(fields, names.tied_embeddings, family.tied_embeddings);
  result.attention_bias = result.output_bias = read_flag(fields, names.attention_bias, false);
  result.feed_forward_bias = read_flag(fields, names.feed_forward_bias, false);
  read_windows(fields, family, result);
  check_layer_types(fields, result);
  result.rope = read_rope(fields, family, result.head_dim, result.max_positions);
  result.names = names_in_use(family, result);
  result.bos_token = read_token(fields, "bos_token_id");
  result.eos_token = read_token(fields, "eos_token_id");
  return result;
}

}  // namespace

Architecture read_hugging_face_config(const Json& config, const std::string& file) {
  const Fields fields(config, file);
  const auto model_type = fields.string("model_type");
  std::string supported;
  for (const Family* family : hugging_face_families()) {
    if (model_type == family->model_type) return resolve(fields, *family);
    supported += (supported.empty() ? "" : ", ") + family->model_type;
  }
  if (!model_type) fields.refuse("model_type", "one of " + supported);
  fields.refuse_unsupported("model_type", "supported are " + supported);
}

Architecture read_mistral_params(const Json& params, const std::string& file) {
  const Fields fields(params, file);
  const Family& family = mistral_consolidated();
  const auto model_type = fields.string("model_type");
  if (model_type && *model_type != family.model_type) {
    fields.refuse_unsupported("model_type", "supported is " + family.model_type);
  }
  return resolve(fields, family);
}

}  // namespace moxie::checkpoint
