// The C handles as owning pointers, and calls that throw what the library answered.
#pragma once

#include <memory>
#include <stdexcept>
#include <string>
#include <utility>

#include "moxie/moxie.h"

namespace moxie::cli {

template <auto Free>
struct Release {
  template <typename T>
  void operator()(T* handle) const {
    Free(handle);
  }
};

using Runtime = std::unique_ptr<mox_runtime, Release<&mox_runtime_free>>;
using FeedForward = std::unique_ptr<mox_feed_forward, Release<&mox_feed_forward_free>>;
using Block = std::unique_ptr<mox_block, Release<&mox_block_free>>;
using Model = std::unique_ptr<mox_model, Release<&mox_model_free>>;
using Adapter = std::unique_ptr<mox_adapter, Release<&mox_adapter_release>>;
using Sequence = std::unique_ptr<mox_sequence, Release<&mox_sequence_free>>;
using Sampler = std::unique_ptr<mox_sampler, Release<&mox_sampler_free>>;
using Routing = std::unique_ptr<mox_routing, Release<&mox_routing_free>>;
using File = std::unique_ptr<mox_file, Release<&mox_file_free>>;

// The library refused a call.
class Refused : public std::runtime_error {
 public:
  Refused(mox_status status, const std::string& message) : std::runtime_error(message), status_(status) {}
  mox_status status() const { return status_; }

 private:
  mox_status status_;
};

// function(arguments..., &error)
template <typename Function, typename... Arguments>
void call(Function* function, Arguments... arguments) {
  mox_error error{};
  const mox_status status = function(arguments..., &error);
  if (status != MOX_OK) throw Refused(status, std::string(mox_status_name(status)) + ": " + error.message);
}

// function(arguments..., &handle, &error)
template <typename Handle, typename Function, typename... Arguments>
Handle make(Function* function, Arguments... arguments) {
  typename Handle::pointer handle = nullptr;
  call(function, arguments..., &handle);
  return Handle(handle);
}

// An options struct with its defaults.
template <typename Options>
Options defaults(void (*init)(Options*, size_t)) {
  Options options;
  init(&options, sizeof options);
  return options;
}

// function(handle, &info, &error) for the info structs.
template <typename Info, typename Function, typename Handle, typename... Arguments>
Info describe(Function* function, const Handle& handle, Arguments... arguments) {
  Info info{};
  info.struct_size = sizeof info;
  call(function, handle.get(), arguments..., &info);
  return info;
}

}  // namespace moxie::cli
