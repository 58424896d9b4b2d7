#include "api/call.h"

namespace moxie::api {

std::string ArgumentName::text() const {
  std::string text(list_);
  if (indexed_) text += "[" + std::to_string(index_) + "]";
  return text + field_;
}

void copy_text(char* destination, size_t size, const std::string& text) noexcept {
  size_t length = std::min(text.size(), size - 1);
  if (length < text.size()) {
    while (length > 0 && (static_cast<unsigned char>(text[length]) & 0xC0U) == 0x80U) --length;
  }
  std::memcpy(destination, text.data(), length);
  destination[length] = '\0';
}

void write_error(mox_error* error, mox_status status, const char* message) noexcept {
  if (error == nullptr) return;
  error->status = status;
  const size_t full = std::strlen(message);
  size_t length = std::min(full, sizeof(error->message) - 1);
  if (length < full) {
    while (length > 0 && (static_cast<unsigned char>(message[length]) & 0xC0U) == 0x80U) --length;
  }
  std::memcpy(error->message, message, length);
  error->message[length] = '\0';
}

}  // namespace moxie::api
