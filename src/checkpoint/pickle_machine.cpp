#include "checkpoint/pickle_machine.h"

#include <array>
#include <cstdio>

#include "checkpoint/pickle_opcodes.h"
#include "checkpoint/text.h"
#include "runtime/error.h"

namespace moxie::checkpoint::pickle {

const char* kind_name(Kind kind) {
  constexpr std::array<const char*, 11> names = {"None",           "a boolean", "an integer",   "a string",
                                                 "a tuple",        "a list",    "a dictionary", "a function",
                                                 "a storage type", "a storage", "a tensor"};
  return names[static_cast<size_t>(kind)];
}

bool Machine::step() {
  instruction_ = position_;
  const auto opcode = static_cast<uint8_t>(take(1)[0]);
  switch (static_cast<Opcode>(opcode)) {
    case Opcode::protocol: {
      const uint64_t version = unsigned_little(1);
      if (instruction_ != 0 || version != 2) {
        refuse("PROTO " + std::to_string(version) + "; expected protocol 2, once, at the beginning");
      }
      return true;
    }
    case Opcode::stop:
      return false;
    case Opcode::mark:
      marks_.push_back(stack_.size());
      return true;
    case Opcode::none:
      push(none_);
      return true;
    case Opcode::new_true:
      push(true_);
      return true;
    case Opcode::new_false:
      push(false_);
      return true;
    case Opcode::bin_int:
      push_integer(signed_little(4));
      return true;
    case Opcode::bin_int1:
      push_integer(static_cast<int64_t>(unsigned_little(1)));
      return true;
    case Opcode::bin_int2:
      push_integer(static_cast<int64_t>(unsigned_little(2)));
      return true;
    case Opcode::long1: {
      const uint64_t count = unsigned_little(1);
      if (count > 8) refuse("LONG1 of " + std::to_string(count) + " bytes; expected at most 8");
      push_integer(signed_little(count));
      return true;
    }
    case Opcode::bin_unicode:
      push_string();
      return true;
    case Opcode::bin_put:
      put(unsigned_little(1));
      return true;
    case Opcode::long_bin_put:
      put(unsigned_little(4));
      return true;
    case Opcode::bin_get:
      get(unsigned_little(1));
      return true;
    case Opcode::long_bin_get:
      get(unsigned_little(4));
      return true;
    case Opcode::empty_tuple:
      push(empty_tuple_);
      return true;
    case Opcode::tuple:
      push_tuple(pop_to_mark());
      return true;
    case Opcode::tuple1:
      push_tuple(1);
      return true;
    case Opcode::tuple2:
      push_tuple(2);
      return true;
    case Opcode::tuple3:
      push_tuple(3);
      return true;
    case Opcode::empty_dict:
      push(make(Kind::dict));
      return true;
    case Opcode::empty_list:
      push(make(Kind::list));
      return true;
    case Opcode::append:
      append({pop()});
      return true;
    case Opcode::appends:
      append(pop_to_mark());
      return true;
    case Opcode::set_item: {
      const Index value = pop();
      const Index key = pop();
      set_items({key, value});
      return true;
    }
    case Opcode::set_items:
      set_items(pop_to_mark());
      return true;
    case Opcode::global:
      push_global();
      return true;
    case Opcode::bin_persistent_id:
      push_storage();
      return true;
    case Opcode::reduce:
      reduce();
      return true;
    case Opcode::build:
      build();
      return true;
  }
  char code[8];
  std::snprintf(code, sizeof(code), "0x%02x", opcode);
  refuse(std::string("instruction ") + opcode_name(opcode) + " (" + code +
         "); expected only those that torch.save needs for tensors");
}

void Machine::put(uint64_t slot) {
  const Index value = pop();
  push(value);
  if (memo_.size() >= most_values) refuse("remembers more than " + std::to_string(most_values) + " values");
  memo_[slot] = value;
}

void Machine::get(uint64_t slot) {
  const auto found = memo_.find(slot);
  if (found == memo_.end()) refuse("asks for value " + std::to_string(slot) + ", which was never remembered");
  push(found->second);
}

void Machine::push_tuple(std::vector<Index> items) {
  const Index tuple = make(Kind::tuple);
  values_[tuple].items = std::move(items);
  push(tuple);
}

void Machine::push_tuple(size_t count) {
  std::vector<Index> items(count);
  for (size_t index = count; index-- > 0;) items[index] = pop();
  push_tuple(std::move(items));
}

void Machine::push_string() {
  const std::string_view text = take(unsigned_little(4));
  if (!is_utf8(text)) refuse("string " + quote(text) + " is not UTF-8");
  const Index value = make(Kind::string);
  values_[value].text = text;
  push(value);
}

void Machine::set_items(std::vector<Index> items) {
  if (items.size() % 2 != 0) refuse("SETITEMS with a key without a value");
  Value& dict = top(Kind::dict, "SETITEMS");
  for (size_t index = 0; index < items.size(); index += 2) expect(items[index], Kind::string, "a dictionary's key");
  dict.items.insert(dict.items.end(), items.begin(), items.end());
}

void Machine::append(const std::vector<Index>& items) {
  Value& list = top(Kind::list, "APPENDS");
  list.items.insert(list.items.end(), items.begin(), items.end());
}

}  // namespace moxie::checkpoint::pickle
