#include "checkpoint/zip_archive.h"

#include <mutex>

#include "checkpoint/file_access.h"
#include "checkpoint/text.h"
#include "runtime/error.h"

namespace moxie::checkpoint {
namespace {

constexpr zip_int64_t most_entries = 1 << 20;

std::string reason(int code) {
  zip_error_t error;
  zip_error_init_with_code(&error, code);
  std::string text = zip_error_strerror(&error);
  zip_error_fini(&error);
  return text;
}

// libzip turns every entry's date into a time through the C library, which guards the time zone by a lock that thread
// sanitizers cannot see: archives are opened one at a time, so that programs checked with one hear nothing of it.
zip_t* open_archive(const std::string& path, int* code) {
  static std::mutex opening;
  const std::lock_guard<std::mutex> lock(opening);
  return zip_open(path.c_str(), ZIP_RDONLY, code);
}

}  // namespace

ZipArchive::ZipArchive(const std::string& path, const std::string& shown_as) : path_(shown_as) {
  const int64_t size = File(path).size();
  int code = 0;
  archive_.reset(open_archive(path, &code));
  if (!archive_) {
    throw invalid_file(path_ + ": is not a zip archive as torch.save writes it: " + reason(code));
  }
  const zip_int64_t count = zip_get_num_entries(archive_.get(), 0);
  if (count > most_entries) {
    throw invalid_file(path_ + ": holds " + std::to_string(count) + " entries; expected at most " +
                       std::to_string(most_entries));
  }
  for (zip_uint64_t index = 0; index < static_cast<zip_uint64_t>(count); ++index) {
    zip_stat_t status;
    if (zip_stat_index(archive_.get(), index, ZIP_FL_ENC_RAW, &status) != 0) {
      throw invalid_file(path_ + ": entry " + std::to_string(index) + ": " + zip_strerror(archive_.get()));
    }
    constexpr zip_uint64_t needed = ZIP_STAT_NAME | ZIP_STAT_SIZE | ZIP_STAT_COMP_SIZE | ZIP_STAT_COMP_METHOD |
                                    ZIP_STAT_ENCRYPTION_METHOD | ZIP_STAT_CRC;
    if ((status.valid & needed) != needed) {
      throw invalid_file(path_ + ": entry " + std::to_string(index) + ": its size, method or checksum is not stated");
    }
    const std::string name = status.name;
    const std::string place = path_ + ": entry " + quote(name);
    if (status.encryption_method != ZIP_EM_NONE) throw invalid_file(place + " is encrypted");
    if (status.comp_method != ZIP_CM_STORE) {
      throw invalid_file(place + " is compressed (method " + std::to_string(status.comp_method) +
                         "); expected entries that are stored as they are");
    }
    if (status.size != status.comp_size || status.size > static_cast<zip_uint64_t>(size)) {
      throw invalid_file(place + " claims " + std::to_string(status.size) + " bytes, stored in " +
                         std::to_string(status.comp_size) + ", of a file of " + std::to_string(size));
    }
    const Entry entry{index, static_cast<int64_t>(status.size), status.crc};
    if (!entries_.emplace(name, entry).second) throw invalid_file(place + " is there twice");
  }
}

std::vector<unsigned char> ZipArchive::read(const std::string& name) const {
  const std::string place = path_ + ": entry " + quote(name);
  const auto found = entries_.find(name);
  if (found == entries_.end()) throw invalid_file(place + " is missing");
  const auto close = [](zip_file_t* file) { zip_fclose(file); };
  const std::unique_ptr<zip_file_t, decltype(close)> file(zip_fopen_index(archive_.get(), found->second.index, 0),
                                                          close);
  if (!file) throw invalid_file(place + " cannot be read: " + zip_strerror(archive_.get()));
  std::vector<unsigned char> bytes(static_cast<size_t>(found->second.bytes));
  size_t done = 0;
  // One read more than there are bytes: the checksum is compared at the end of the entry.
  unsigned char beyond = 0;
  for (;;) {
    const bool full = done == bytes.size();
    const zip_int64_t got =
        full ? zip_fread(file.get(), &beyond, 1) : zip_fread(file.get(), bytes.data() + done, bytes.size() - done);
    if (got < 0) throw invalid_file(place + " is damaged: " + zip_file_strerror(file.get()));
    if (full && got == 0) return bytes;
    if (full || got == 0) {
      throw invalid_file(place + " ends at byte " + std::to_string(done) + "; expected " +
                         std::to_string(bytes.size()));
    }
    done += static_cast<size_t>(got);
  }
}

}  // namespace moxie::checkpoint
