// A zip archive whose entries are stored as they are. Checksums are verified by every read.
#pragma once

#include <zip.h>

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace moxie::checkpoint {

// Not for several threads at once.
class ZipArchive {
 public:
  struct Entry {
    uint64_t index = 0;
    int64_t bytes = 0;
    uint32_t checksum = 0;  // CRC-32 of the bytes, as the archive states it
  };

  // MOX_INVALID_FILE for what is no zip archive, for compressed or encrypted entries, and for names that occur twice.
  ZipArchive(const std::string& path, const std::string& shown_as);

  [[nodiscard]] const std::map<std::string, Entry>& entries() const { return entries_; }
  [[nodiscard]] std::vector<unsigned char> read(const std::string& name) const;

 private:
  struct Close {
    void operator()(zip_t* archive) const { zip_discard(archive); }
  };
  std::string path_;
  std::unique_ptr<zip_t, Close> archive_;
  std::map<std::string, Entry> entries_;
};

}  // namespace moxie::checkpoint
