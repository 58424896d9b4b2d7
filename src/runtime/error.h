// How a room says no: an exception that carries the C status and the message.
// It travels up to src/api, which turns it into mox_status and mox_error; nothing crosses the C boundary.
#pragma once

#include <stdexcept>
#include <string>
#include <utility>

#include "moxie/status.h"

namespace moxie {

class Error : public std::runtime_error {
 public:
  Error(mox_status status, const std::string& message) : std::runtime_error(message), status_(status) {}
  [[nodiscard]] mox_status status() const noexcept { return status_; }

 private:
  mox_status status_;
};

inline Error invalid_argument(const std::string& message) { return {MOX_INVALID_ARGUMENT, message}; }
inline Error invalid_file(const std::string& message) { return {MOX_INVALID_FILE, message}; }
inline Error not_found(const std::string& message) { return {MOX_NOT_FOUND, message}; }
inline Error unsupported(const std::string& message) { return {MOX_UNSUPPORTED, message}; }

}  // namespace moxie
