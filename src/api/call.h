// The border: what every C function does at its edges. Nothing here knows what the functions are about.
#pragma once

#include <algorithm>
#include <cstring>
#include <new>
#include <string>
#include <string_view>

#include "moxie/status.h"
#include "runtime/error.h"

namespace moxie::api {

// Writes status and message; cuts a long message at a UTF-8 character boundary. error may be NULL.
void write_error(mox_error* error, mox_status status, const char* message) noexcept;

// Runs the body of a C function and turns whatever it throws into a status.
template <typename Body>
mox_status guard(mox_error* error, Body&& body) noexcept {
  try {
    body();
    return MOX_OK;
  } catch (const Error& failure) {
    write_error(error, failure.status(), failure.what());
    return failure.status();
  } catch (const std::bad_alloc&) {
    write_error(error, MOX_OUT_OF_MEMORY, "out of memory");
    return MOX_OUT_OF_MEMORY;
  } catch (const std::exception& failure) {
    write_error(error, MOX_INTERNAL, failure.what());
    return MOX_INTERNAL;
  } catch (...) {
    write_error(error, MOX_INTERNAL, "unknown exception");
    return MOX_INTERNAL;
  }
}

// The name of an argument: "model", "steps[3].tokens". Spelled out only where a message needs it: making a name for
// each field of each step would cost more than checking them. What it is made of must outlive it.
class ArgumentName {
 public:
  ArgumentName(const char* name) : list_(name) {}         // NOLINT(google-explicit-constructor)
  ArgumentName(const std::string& name) : list_(name) {}  // NOLINT(google-explicit-constructor)
  ArgumentName(const char* list, size_t index, const char* field)
      : list_(list), indexed_(true), index_(index), field_(field) {}

  [[nodiscard]] std::string text() const;

 private:
  std::string_view list_;
  bool indexed_ = false;
  size_t index_ = 0;
  const char* field_ = "";
};

inline void require_not_null(const void* pointer, const ArgumentName& what) {
  if (pointer == nullptr) throw invalid_argument(what.text() + " is NULL");
}

// The caller's struct as this library knows it: fields a caller's older header lacks stay at `defaults`.
template <typename T>
T read_struct(const T* given, const T& defaults, const char* name) {
  if (given == nullptr) return defaults;
  if (given->struct_size < sizeof(size_t) || given->struct_size > 64 * sizeof(T)) {
    throw invalid_argument(std::string(name) + ".struct_size is " + std::to_string(given->struct_size) +
                           "; expected sizeof(" + name + ") = " + std::to_string(sizeof(T)) +
                           " (call its _init function first)");
  }
  T result = defaults;
  std::memcpy(&result, given, std::min(given->struct_size, sizeof(T)));
  result.struct_size = sizeof(T);
  return result;
}

// Fills as much of the caller's info struct as its header knows.
template <typename T>
void write_struct(T* destination, T value, const char* name) {
  require_not_null(destination, name);
  const size_t size = destination->struct_size;
  if (size < sizeof(size_t) || size > 64 * sizeof(T)) {
    throw invalid_argument(std::string(name) + ".struct_size is " + std::to_string(size) + "; set it to sizeof(" +
                           name + ") = " + std::to_string(sizeof(T)) + " before the call");
  }
  value.struct_size = size;
  std::memcpy(destination, &value, std::min(size, sizeof(T)));
}

// For *_init functions: as much of the defaults as the caller's header knows.
template <typename T>
void init_struct(T* destination, size_t struct_size, T defaults) noexcept {
  if (destination == nullptr || struct_size < sizeof(size_t)) return;
  std::memset(static_cast<void*>(destination), 0, struct_size);
  defaults.struct_size = struct_size;
  std::memcpy(static_cast<void*>(destination), &defaults, std::min(struct_size, sizeof(T)));
}

// Copies text into a fixed array of an info struct, cut at a character boundary.
void copy_text(char* destination, size_t size, const std::string& text) noexcept;

}  // namespace moxie::api
