#include "api/handles.h"

#include "api/call.h"

namespace moxie::api {

mox_storage checked_storage(mox_storage storage) {
  if (storage < MOX_STORAGE_AUTO || storage > MOX_STORAGE_COMPACT) {
    throw invalid_argument("storage is " + std::to_string(storage) + "; expected a mox_storage");
  }
  return storage;
}

model::LoadSettings read_load_options(const mox_load_options* options, const std::shared_ptr<Engine>& engine) {
  const mox_load_options load = read_struct(options, mox_load_options{}, "mox_load_options");
  if (load.weights < MOX_WEIGHTS_AS_STORED || load.weights > MOX_WEIGHTS_BF16) {
    throw invalid_argument("weights is " + std::to_string(load.weights) + "; expected a mox_weights");
  }
  if (load.map_files != 0 && load.map_files != 1) {
    throw invalid_argument("map_files is " + std::to_string(load.map_files) + "; expected 0 or 1");
  }
  if (load.packed_cache < MOX_PACKED_CACHE_OFF || load.packed_cache > MOX_PACKED_CACHE_READ) {
    throw invalid_argument("packed_cache is " + std::to_string(load.packed_cache) + "; expected a mox_packed_cache");
  }
  if (load.map_packed_cache != 0 && load.map_packed_cache != 1) {
    throw invalid_argument("map_packed_cache is " + std::to_string(load.map_packed_cache) + "; expected 0 or 1");
  }
  if (load.packed_cache_path != nullptr && *load.packed_cache_path == '\0') {
    throw invalid_argument("packed_cache_path is empty; expected a file, a folder, or NULL for the checkpoint's");
  }
  model::LoadSettings settings;
  settings.weights = load.weights;
  settings.storage = kernels::storage_policy(checked_storage(load.storage), engine->kernels());
  settings.map_files = load.map_files != 0;
  settings.threads = engine->threads();
  settings.cache.mode = load.packed_cache;
  settings.cache.map = load.map_packed_cache != 0;
  if (load.packed_cache_path != nullptr) settings.cache.path = load.packed_cache_path;
  settings.log = [engine](mox_log_level level, const std::string& text) { engine->log(level, text); };
  return settings;
}

const adapter::Adapter* HeldAdapters::hold(const mox_adapter* handle, const void* base, const ArgumentName& where) {
  if (handle == nullptr) return nullptr;
  if (handle->base.get() != base) {
    throw invalid_argument(where.text() + " (\"" + handle->adapter->name +
                           "\") lies over another base; open the adapter over this one");
  }
  held_.push_back(handle->adapter);
  return handle->adapter.get();
}

HeldSequences::~HeldSequences() {
  for (transformer::Sequence* sequence : held_) sequence->busy.store(false, std::memory_order_release);
}

transformer::Sequence* HeldSequences::hold(const mox_sequence* handle, const ArgumentName& where) {
  require_not_null(handle, where);
  transformer::Sequence* sequence = handle->sequence.get();
  held_.push_back(sequence);
  if (sequence->busy.exchange(true, std::memory_order_acquire)) {
    held_.pop_back();
    throw invalid_argument(where.text() + " stands twice in this call, or is in another call at this moment");
  }
  return sequence;
}

transformer::Sequence* HeldSequences::hold(const mox_sequence* handle, const void* owner, const ArgumentName& where) {
  require_not_null(handle, where);
  if (handle->owner.get() != owner) {
    throw invalid_argument(where.text() + " was created for another model or block");
  }
  return hold(handle, where);
}

}  // namespace moxie::api
