// Packed weights kept in a file, so that the next start reads them as they are: where the file lies, when it may be
// used, and how it comes to be. Nothing here ever makes loading fail: what goes wrong is logged, and the checkpoint is
// packed as if there were no cache.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "cache/packed_file.h"
#include "checkpoint/checkpoint.h"
#include "moxie/feed_forward.h"
#include "moxie/runtime.h"

namespace moxie::cache {

using Log = std::function<void(mox_log_level, const std::string&)>;

struct CacheSettings {
  mox_packed_cache mode = MOX_PACKED_CACHE_OFF;
  bool map = false;  // use the file as a mapping instead of reading it into memory on huge pages
  std::string path;  // a file; an existing folder, or one with a slash at its end; "": beside the checkpoint
};

class PackedCache {
 public:
  // holds: what of the checkpoint the sections are, "model" or "block 3". How and where each is stored is not asked
  // for, only with which aim, unless they may be `either` way. All must outlive this.
  PackedCache(const CacheSettings& settings, const Log& log, const checkpoint::Checkpoint& checkpoint,
              std::string holds, std::vector<PackedSection> sections, kernels::Storage aim, bool either, int threads);

  // What a file holds: the sections as they are stored there, and the data, checked. No data where there is no file, or
  // one that is stale, damaged or unreadable, or was made with another aim: the log says which.
  struct Kept {
    std::vector<PackedSection> sections;
    std::shared_ptr<const std::byte> data;
  };
  [[nodiscard]] Kept load();

  // Keeps what was packed, sections with their storage and place, where the mode allows. With `map`: the mapping of the
  // file, to be used instead of `data`; else NULL.
  [[nodiscard]] std::shared_ptr<const std::byte> save(const std::vector<PackedSection>& sections, const std::byte* data,
                                                      int64_t bytes);

  [[nodiscard]] const std::string& path() const { return path_; }

 private:
  [[nodiscard]] std::shared_ptr<const std::byte> write(const std::vector<PackedSection>& sections,
                                                       const std::byte* data, int64_t bytes);

  const CacheSettings& settings_;
  const Log& log_;
  const checkpoint::Checkpoint& checkpoint_;
  std::string holds_;
  std::vector<PackedSection> sections_;
  kernels::Storage aim_;
  bool either_;
  bool empty_;
  int threads_;
  std::string path_;
  std::string fingerprint_;  // of the checkpoint as load() found it
};

}  // namespace moxie::cache
