#include "checkpoint/pickle.h"

#include <array>
#include <set>
#include <utility>

#include "checkpoint/pickle_machine.h"
#include "checkpoint/text.h"
#include "moxie/file.h"
#include "runtime/error.h"

namespace moxie::checkpoint {
namespace pickle {
namespace {

struct StorageType {
  const char* name;
  DType dtype;
};
constexpr std::array<StorageType, 10> storage_types = {{{"torch FloatStorage", MOX_F32},
                                                        {"torch BFloat16Storage", MOX_BF16},
                                                        {"torch HalfStorage", MOX_F16},
                                                        {"torch DoubleStorage", MOX_F64},
                                                        {"torch LongStorage", MOX_I64},
                                                        {"torch IntStorage", MOX_I32},
                                                        {"torch ShortStorage", MOX_I16},
                                                        {"torch CharStorage", MOX_I8},
                                                        {"torch ByteStorage", MOX_U8},
                                                        {"torch BoolStorage", MOX_BOOL}}};

constexpr const char* ordered_dict = "collections OrderedDict";
constexpr const char* rebuild_tensor = "torch._utils _rebuild_tensor_v2";
constexpr const char* rebuild_parameter = "torch._utils _rebuild_parameter";

}  // namespace

void Machine::push_global() {
  const std::string module = line();
  const std::string name = module + " " + line();
  for (const StorageType& type : storage_types) {
    if (name == type.name) return push(make(Kind::storage_type, type.dtype));
  }
  if (name != ordered_dict && name != rebuild_tensor && name != rebuild_parameter) {
    std::string shown = name;
    shown[module.size()] = '.';
    throw unsupported(place_ + ": asks for " + quote(shown) +
                      "; expected only what torch.save needs for tensors (nothing was executed)");
  }
  const Index value = make(Kind::function);
  values_[value].text = name;
  push(value);
}

// ("storage", type, key, device, elements)
void Machine::push_storage() {
  const std::vector<Index> parts = expect(pop(), Kind::tuple, "a persistent id").items;
  if (parts.size() != 5) refuse("persistent id of " + std::to_string(parts.size()) + " parts; expected 5");
  const std::string& kind = expect(parts[0], Kind::string, "a persistent id's kind").text;
  if (kind != "storage") refuse("persistent id of kind " + quote(kind) + "; expected \"storage\"");
  expect(parts[1], Kind::storage_type, "a storage's type");
  const std::string& key = expect(parts[2], Kind::string, "a storage's key").text;
  if (key.empty() || key.size() > longest_global || key.find_first_not_of("0123456789") != std::string::npos) {
    refuse("storage key " + quote(key) + "; expected a number");
  }
  expect(parts[3], Kind::string, "a storage's device");
  const int64_t elements = expect(parts[4], Kind::integer, "a storage's size").integer;
  if (elements < 0) refuse("storage " + quote(key) + " of " + std::to_string(elements) + " elements");
  const Index storage = make(Kind::storage);
  values_[storage].items = parts;
  push(storage);
}

void Machine::reduce() {
  const std::vector<Index> arguments = expect(pop(), Kind::tuple, "what REDUCE passes").items;
  const std::string function = expect(pop(), Kind::function, "what REDUCE calls").text;
  if (function == ordered_dict) {
    if (!arguments.empty()) refuse("OrderedDict made with arguments; expected none");
    return push(make(Kind::dict));
  }
  if (function == rebuild_tensor) return push(tensor(arguments));
  // A parameter: (tensor, requires_grad, hooks). It is its tensor.
  if (arguments.size() != 3) {
    refuse("_rebuild_parameter with " + std::to_string(arguments.size()) + " arguments; expected 3");
  }
  expect(arguments[0], Kind::tensor, "a parameter's data");
  expect(arguments[1], Kind::boolean, "requires_grad");
  check_hooks(arguments[2]);
  push(arguments[0]);
}

// (storage, offset, shape, stride, requires_grad, hooks[, metadata])
Index Machine::tensor(const std::vector<Index>& arguments) {
  if (arguments.size() != 6 && arguments.size() != 7) {
    refuse("_rebuild_tensor_v2 with " + std::to_string(arguments.size()) + " arguments; expected 6 or 7");
  }
  expect(arguments[0], Kind::storage, "a tensor's storage");
  const int64_t offset = expect(arguments[1], Kind::integer, "a tensor's offset").integer;
  if (offset < 0) refuse("tensor at offset " + std::to_string(offset));
  check_sizes(arguments[2], "a tensor's shape");
  check_sizes(arguments[3], "a tensor's stride");
  const size_t dimensions = values_[arguments[2]].items.size();
  const size_t strides = values_[arguments[3]].items.size();
  if (dimensions != strides) {
    refuse("tensor of " + std::to_string(dimensions) + " dimensions with " + std::to_string(strides) + " strides");
  }
  expect(arguments[4], Kind::boolean, "requires_grad");
  check_hooks(arguments[5]);
  // Metadata says that values are to be read conjugated or negated.
  if (arguments.size() == 7 && values_[arguments[6]].kind != Kind::none) {
    const Value& metadata = expect(arguments[6], Kind::dict, "a tensor's metadata");
    if (!metadata.items.empty()) {
      refuse("tensor with the attribute " + quote(values_[metadata.items[0]].text) + "; expected none");
    }
  }
  const Index result = make(Kind::tensor);
  values_[result].items = arguments;
  return result;
}

void Machine::check_sizes(Index index, const std::string& what) {
  const std::vector<Index>& items = expect(index, Kind::tuple, what).items;
  if (items.size() > MOX_MAX_DIMENSIONS) {
    refuse(what + " has " + std::to_string(items.size()) + " dimensions; expected at most " +
           std::to_string(MOX_MAX_DIMENSIONS));
  }
  for (const Index item : items) {
    const int64_t size = expect(item, Kind::integer, "a number of " + what).integer;
    if (size < 0) refuse(what + " holds " + std::to_string(size) + "; expected no negative number");
  }
}

void Machine::check_hooks(Index index) {
  if (values_[index].kind == Kind::none) return;
  if (!expect(index, Kind::dict, "a tensor's hooks").items.empty()) refuse("tensor with hooks; expected none");
}

// An OrderedDict's attributes. Modules leave their versions there, which say nothing about the tensors.
void Machine::build() {
  const Value& state = expect(pop(), Kind::dict, "what BUILD passes");
  for (size_t index = 0; index < state.items.size(); index += 2) {
    const std::string& name = values_[state.items[index]].text;
    if (name != "_metadata") refuse("BUILD sets the attribute " + quote(name) + "; expected \"_metadata\" only");
  }
  top(Kind::dict, "BUILD");
}

PickledTensor Machine::describe(const std::string& name, Value& value) {
  PickledTensor tensor;
  tensor.name = name;
  const std::vector<Index>& storage = values_[value.items[0]].items;
  tensor.dtype = static_cast<DType>(values_[storage[1]].integer);
  tensor.storage = values_[storage[2]].text;
  tensor.storage_elements = values_[storage[4]].integer;
  tensor.offset = values_[value.items[1]].integer;
  for (const Index item : values_[value.items[2]].items) tensor.shape.push_back(values_[item].integer);
  for (const Index item : values_[value.items[3]].items) tensor.stride.push_back(values_[item].integer);
  return tensor;
}

std::vector<PickledTensor> Machine::tensors() {
  if (position_ != bytes_.size()) {
    refuse("goes on for " + std::to_string(bytes_.size() - position_) + " bytes after STOP");
  }
  if (stack_.size() != 1 || !marks_.empty()) {
    refuse("leaves " + std::to_string(stack_.size()) + " values on the stack; expected one");
  }
  const std::vector<Index>& items = expect(stack_.back(), Kind::dict, "the saved object").items;
  std::vector<PickledTensor> result;
  std::set<std::string> seen;
  for (size_t index = 0; index < items.size(); index += 2) {
    const std::string& name = values_[items[index]].text;
    const std::string shown = place_ + ": tensor " + quote(name);
    if (!is_tensor_name(name)) {
      throw invalid_file(shown + ": expected a name of 1 to 1024 bytes without control characters");
    }
    if (!seen.insert(name).second) throw invalid_file(shown + " is there twice");
    Value& value = values_[items[index + 1]];
    if (value.kind != Kind::tensor) {
      throw invalid_file(shown + " is " + kind_name(value.kind) + "; expected a tensor or parameter");
    }
    result.push_back(describe(name, value));
  }
  return result;
}

}  // namespace pickle

std::vector<PickledTensor> unpickle_tensors(std::string_view bytes, const std::string& place) {
  return pickle::Machine(bytes, place).run();
}

}  // namespace moxie::checkpoint
