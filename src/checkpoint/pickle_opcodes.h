// Pickle's instructions by the names its documentation gives them.
#pragma once

#include <cstdint>

namespace moxie::checkpoint {

enum class Opcode : uint8_t {
  mark = '(',
  stop = '.',
  none = 'N',
  bin_int = 'J',
  bin_int1 = 'K',
  bin_int2 = 'M',
  bin_unicode = 'X',
  bin_get = 'h',
  long_bin_get = 'j',
  bin_put = 'q',
  long_bin_put = 'r',
  global = 'c',
  bin_persistent_id = 'Q',
  reduce = 'R',
  build = 'b',
  empty_dict = '}',
  set_item = 's',
  set_items = 'u',
  empty_list = ']',
  append = 'a',
  appends = 'e',
  empty_tuple = ')',
  tuple = 't',
  tuple1 = 0x85,
  tuple2 = 0x86,
  tuple3 = 0x87,
  new_true = 0x88,
  new_false = 0x89,
  long1 = 0x8a,
  protocol = 0x80
};

// Name of any instruction of protocols 0 to 5, "unknown" for others.
const char* opcode_name(uint8_t opcode);

}  // namespace moxie::checkpoint
