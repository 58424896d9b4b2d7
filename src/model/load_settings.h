// How a checkpoint is to be loaded, as the caller asked.
#pragma once

#include "cache/packed_cache.h"
#include "kernels/storage.h"
#include "moxie/feed_forward.h"

namespace moxie::model {

struct LoadSettings {
  mox_weights weights = MOX_WEIGHTS_AS_STORED;
  bool map_files = false;
  int threads = 1;
  kernels::StoragePolicy storage;
  cache::CacheSettings cache;
  cache::Log log = [](mox_log_level, const std::string&) {};
};

}  // namespace moxie::model
