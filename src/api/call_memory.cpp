#include "api/call_memory.h"

namespace moxie::api {
namespace {

constexpr size_t smallest_chunk = size_t{1} << 12;

struct OfThread {
  Workspace workspace{smallest_chunk};
  int calls = 0;  // that stand inside each other
};

OfThread& of_thread() {
  static thread_local OfThread memory;
  return memory;
}

}  // namespace

CallMemory::CallMemory()
    : workspace_(of_thread().workspace), begin_(workspace_.mark()), outermost_(of_thread().calls++ == 0) {}

CallMemory::~CallMemory() {
  --of_thread().calls;
  if (outermost_) {
    workspace_.reset();
  } else {
    workspace_.release(begin_);
  }
}

}  // namespace moxie::api
