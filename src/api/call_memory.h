// Where a C function keeps its lists while it runs.
#pragma once

#include <memory_resource>

#include "runtime/workspace.h"

namespace moxie::api {

// Memory of the calling thread, kept from call to call: a call like the one before takes none from the system. What was
// taken is given back when the object goes. Calls may stand inside each other (a log callback that calls the library).
class CallMemory {
 public:
  CallMemory();
  ~CallMemory();
  CallMemory(const CallMemory&) = delete;
  CallMemory& operator=(const CallMemory&) = delete;

  template <typename T>
  [[nodiscard]] std::pmr::vector<T> list() {
    return workspace_.list<T>();
  }
  [[nodiscard]] std::pmr::memory_resource* resource() { return &workspace_; }

 private:
  Workspace& workspace_;
  Workspace::Mark begin_;
  bool outermost_;
};

}  // namespace moxie::api
