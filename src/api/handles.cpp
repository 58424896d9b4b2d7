#include "api/handles.h"

#include "api/call.h"

namespace moxie::api {

mox_load_options read_load_options(const mox_load_options* options) {
  const mox_load_options load = read_struct(options, mox_load_options{}, "mox_load_options");
  if (load.weights < MOX_WEIGHTS_AS_STORED || load.weights > MOX_WEIGHTS_BF16) {
    throw invalid_argument("weights is " + std::to_string(load.weights) + "; expected a mox_weights");
  }
  if (load.map_files != 0 && load.map_files != 1) {
    throw invalid_argument("map_files is " + std::to_string(load.map_files) + "; expected 0 or 1");
  }
  return load;
}

const adapter::Adapter* HeldAdapters::hold(const mox_adapter* handle, const void* base, const std::string& where) {
  if (handle == nullptr) return nullptr;
  if (handle->base.get() != base) {
    throw invalid_argument(where + " (\"" + handle->adapter->name +
                           "\") lies over another base; open the adapter over this one");
  }
  held_.push_back(handle->adapter);
  return handle->adapter.get();
}

HeldSequences::~HeldSequences() {
  for (transformer::Sequence* sequence : held_) sequence->busy.store(false, std::memory_order_release);
}

transformer::Sequence* HeldSequences::hold(const mox_sequence* handle, const std::string& where) {
  require_not_null(handle, where);
  transformer::Sequence* sequence = handle->sequence.get();
  held_.reserve(held_.size() + 1);
  if (sequence->busy.exchange(true, std::memory_order_acquire)) {
    throw invalid_argument(where + " stands twice in this call, or is in another call at this moment");
  }
  held_.push_back(sequence);
  return sequence;
}

transformer::Sequence* HeldSequences::hold(const mox_sequence* handle, const void* owner, const std::string& where) {
  require_not_null(handle, where);
  if (handle->owner.get() != owner) {
    throw invalid_argument(where + " was created for another model or block");
  }
  return hold(handle, where);
}

}  // namespace moxie::api
