// A pickle machine: stack, memo, marks and the instructions that only move values (pickle_machine.cpp), and what the
// others mean to torch (pickle.cpp).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "checkpoint/pickle.h"
#include "runtime/error.h"

namespace moxie::checkpoint::pickle {

// Bounds of what hostile instructions can make us hold.
constexpr size_t most_values = size_t{1} << 21U;
constexpr size_t longest_global = 256;

using Index = uint32_t;

// Values live in one vector and name each other by index: nothing recurses, so nothing can be nested too deeply.
struct Value {
  enum class Kind : uint8_t {
    none,
    boolean,
    integer,
    string,
    tuple,
    list,
    dict,
    function,
    storage_type,
    storage,
    tensor
  };
  Kind kind = Kind::none;
  int64_t integer = 0;       // boolean, integer; storage_type: DType
  std::string text;          // string; function: its name
  std::vector<Index> items;  // tuple, list; dict: key, value, key, value, ...
};
using Kind = Value::Kind;

const char* kind_name(Kind kind);

// Runs once.
class Machine {
 public:
  Machine(std::string_view bytes, const std::string& place) : bytes_(bytes), place_(place) {
    none_ = make(Kind::none);
    true_ = make(Kind::boolean, 1);
    false_ = make(Kind::boolean, 0);
    empty_tuple_ = make(Kind::tuple);
  }

  std::vector<PickledTensor> run() {
    while (step()) {
    }
    return tensors();
  }

 private:
  // Bytes of the pickle.
  [[noreturn]] void refuse(const std::string& what) const {
    throw invalid_file(place_ + ": " + what + " (instruction at byte " + std::to_string(instruction_) + ")");
  }
  std::string_view take(size_t count) {
    if (count > bytes_.size() - position_) refuse("ends in the middle of an instruction");
    const std::string_view taken = bytes_.substr(position_, count);
    position_ += count;
    return taken;
  }
  uint64_t unsigned_little(size_t count) {
    uint64_t number = 0;
    const std::string_view raw = take(count);
    for (size_t index = count; index-- > 0;) number = number << 8U | static_cast<unsigned char>(raw[index]);
    return number;
  }
  int64_t signed_little(size_t count) {
    if (count == 0) return 0;
    const uint64_t number = unsigned_little(count);
    const unsigned unused = 64U - 8U * static_cast<unsigned>(count);
    return static_cast<int64_t>(number << unused) >> unused;
  }
  std::string line() {
    const size_t end = bytes_.find('\n', position_);
    if (end == std::string_view::npos) refuse("ends in the middle of an instruction");
    if (end - position_ > longest_global) refuse("GLOBAL with a name longer than " + std::to_string(longest_global));
    std::string text(bytes_.substr(position_, end - position_));
    position_ = end + 1;
    return text;
  }

  // Values and the stack.
  Index make(Kind kind, int64_t integer = 0) {
    if (values_.size() >= most_values) refuse("holds more than " + std::to_string(most_values) + " values");
    values_.push_back({kind, integer, {}, {}});
    return static_cast<Index>(values_.size() - 1);
  }
  void push(Index value) { stack_.push_back(value); }
  void push_integer(int64_t value) { push(make(Kind::integer, value)); }
  Index pop() {
    // Values below the last mark belong to what will be made of them.
    if (stack_.size() <= (marks_.empty() ? 0 : marks_.back())) refuse("takes a value from an empty stack");
    const Index top = stack_.back();
    stack_.pop_back();
    return top;
  }
  std::vector<Index> pop_to_mark() {
    if (marks_.empty()) refuse("takes values up to a mark that was never set");
    const auto first = stack_.begin() + static_cast<std::ptrdiff_t>(marks_.back());
    std::vector<Index> items(first, stack_.end());
    stack_.erase(first, stack_.end());
    marks_.pop_back();
    return items;
  }
  Value& top(Kind kind, const char* instruction) {
    const Index value = pop();
    push(value);
    if (values_[value].kind != kind) {
      refuse(std::string(instruction) + " on " + kind_name(values_[value].kind) + "; expected " + kind_name(kind));
    }
    return values_[value];
  }
  Value& expect(Index index, Kind kind, const std::string& what) {
    Value& value = values_[index];
    if (value.kind != kind) refuse(what + " is " + kind_name(value.kind) + "; expected " + kind_name(kind));
    return value;
  }

  bool step();
  void put(uint64_t slot);
  void get(uint64_t slot);
  void push_tuple(std::vector<Index> items);
  void push_tuple(size_t count);
  void push_string();
  void set_items(std::vector<Index> items);
  void append(const std::vector<Index>& items);
  void push_global();
  void push_storage();
  void reduce();
  Index tensor(const std::vector<Index>& arguments);
  void check_sizes(Index index, const std::string& what);
  void check_hooks(Index index);
  void build();
  std::vector<PickledTensor> tensors();
  PickledTensor describe(const std::string& name, Value& value);

  std::string_view bytes_;
  const std::string& place_;
  size_t position_ = 0;
  size_t instruction_ = 0;
  std::vector<Value> values_;
  std::vector<Index> stack_;
  std::vector<size_t> marks_;
  std::unordered_map<uint64_t, Index> memo_;
  Index none_ = 0, true_ = 0, false_ = 0, empty_tuple_ = 0;
};

}  // namespace moxie::checkpoint::pickle
