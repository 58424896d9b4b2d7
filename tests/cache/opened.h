// A model opened through the C interface, what the library logged meanwhile, and what it computes.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "moxie/moxie.h"

namespace moxie::test {

struct CacheOptions {
  mox_packed_cache mode = MOX_PACKED_CACHE_OFF;
  bool map = false;
  std::string path;  // "": NULL
  mox_weights weights = MOX_WEIGHTS_AS_STORED;
  bool map_files = false;
  mox_storage storage = MOX_STORAGE_AUTO;
};

struct Opened {
  std::vector<std::string> log;       // info and warnings, in order
  std::vector<std::string> warnings;  // these alone
  std::vector<uint32_t> logits;       // bits, of a fixed prompt
  int64_t weight_bytes = 0;
};

// Throws what the library says where opening fails. layer >= 0: that feed-forward; `logits` are its outputs then.
Opened open_and_run(const std::string& folder, const CacheOptions& options, int threads = 2, int layer = -1);

// Runs this program again, as `main` understands it, and gives what it printed; throws where it fails.
std::string run_child(const std::vector<std::string>& arguments);
// Several at once.
std::vector<std::string> run_children(const std::vector<std::vector<std::string>>& commands);

}  // namespace moxie::test
