#include "checkpoint/text.h"

#include <algorithm>
#include <array>

namespace moxie::checkpoint {
namespace {

constexpr size_t longest_shown = 200;
constexpr size_t longest_name = 1024;
constexpr size_t names_listed = 8;

// Length of the well-formed UTF-8 sequence at the beginning of text, or 0.
size_t sequence_length(std::string_view text) {
  const auto byte = [&](size_t index) { return static_cast<unsigned char>(text[index]); };
  const unsigned char lead = byte(0);
  if (lead < 0x80) return 1;
  size_t length = 0;
  unsigned char low = 0x80;
  unsigned char high = 0xbf;
  if (lead >= 0xc2 && lead <= 0xdf) {
    length = 2;
  } else if (lead >= 0xe0 && lead <= 0xef) {
    length = 3;
    if (lead == 0xe0) low = 0xa0;   // overlong
    if (lead == 0xed) high = 0x9f;  // surrogates
  } else if (lead >= 0xf0 && lead <= 0xf4) {
    length = 4;
    if (lead == 0xf0) low = 0x90;   // overlong
    if (lead == 0xf4) high = 0x8f;  // beyond U+10FFFF
  }
  if (length == 0 || text.size() < length || byte(1) < low || byte(1) > high) return 0;
  for (size_t index = 2; index < length; ++index) {
    if ((byte(index) & 0xc0U) != 0x80U) return 0;
  }
  return length;
}

bool is_control(char character) {
  const auto byte = static_cast<unsigned char>(character);
  return byte < 0x20 || byte == 0x7f;
}

}  // namespace

bool is_utf8(std::string_view text) {
  while (!text.empty()) {
    const size_t length = sequence_length(text);
    if (length == 0) return false;
    text.remove_prefix(length);
  }
  return true;
}

bool is_tensor_name(std::string_view text) {
  return !text.empty() && text.size() <= longest_name && std::none_of(text.begin(), text.end(), is_control) &&
         is_utf8(text);
}

std::string quote(std::string_view text) {
  constexpr std::array<char, 16> digits = {'0', '1', '2', '3', '4', '5', '6', '7',
                                           '8', '9', 'a', 'b', 'c', 'd', 'e', 'f'};
  std::string result = "\"";
  while (!text.empty()) {
    if (result.size() > longest_shown) return result + "...\"";
    const size_t length = sequence_length(text);
    if (length == 0 || is_control(text[0])) {
      const auto byte = static_cast<unsigned char>(text[0]);
      result += "\\x";
      result += digits[byte >> 4U];
      result += digits[byte & 0xfU];
      text.remove_prefix(1);
    } else {
      result += text.substr(0, length);
      text.remove_prefix(length);
    }
  }
  return result + "\"";
}

std::string shape_text(const std::vector<int64_t>& shape) {
  std::string result = "[";
  for (size_t index = 0; index < shape.size(); ++index) {
    if (index > 0) result += ", ";
    result += std::to_string(shape[index]);
  }
  return result + "]";
}

std::string list_names(const std::vector<std::string>& names, int64_t total) {
  const size_t shown = std::min(names.size(), names_listed);
  std::string result;
  for (size_t index = 0; index < shown; ++index) {
    if (index > 0) result += ", ";
    result += quote(names[index]);
  }
  const int64_t more = total - static_cast<int64_t>(shown);
  if (more > 0) result += " and " + std::to_string(more) + " more";
  return result;
}

std::string join_path(const std::string& folder, const std::string& name) {
  if (folder.empty() || (!name.empty() && name.front() == '/')) return name;
  return folder.back() == '/' ? folder + name : folder + "/" + name;
}

}  // namespace moxie::checkpoint
