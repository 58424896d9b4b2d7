// Names and values as messages show them.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace moxie::checkpoint {

// True for well-formed UTF-8 (no overlong forms, no surrogates).
bool is_utf8(std::string_view text);

// True where text may be a tensor's name: UTF-8, not empty, no control characters, at most 1024 bytes.
bool is_tensor_name(std::string_view text);

// Text from a file, safe to print: control characters and stray bytes as \xNN, long text cut, in double quotes.
std::string quote(std::string_view text);

std::string shape_text(const std::vector<int64_t>& shape);  // "[4, 48]"

// Up to eight of the names, quoted, and how many more there are. `total` may exceed names.size().
std::string list_names(const std::vector<std::string>& names, int64_t total);

// "folder/name"; the name alone where it is absolute or the folder is empty.
std::string join_path(const std::string& folder, const std::string& name);

}  // namespace moxie::checkpoint
