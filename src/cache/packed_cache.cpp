#include "cache/packed_cache.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <system_error>
#include <utility>

#include "cache/fingerprint.h"
#include "checkpoint/file_access.h"
#include "checkpoint/text.h"
#include "runtime/error.h"

namespace moxie::cache {
namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

constexpr const char* ending = ".moxie-packed";
constexpr const char* partial_ending = ".partial";

std::string reason(int code) { return std::generic_category().message(code); }

std::string dtypes_of(const std::vector<PackedSection>& sections) {
  const bool bfloat16 =
      std::any_of(sections.begin(), sections.end(), [](const PackedSection& s) { return s.dtype == MOX_BF16; });
  const bool float32 =
      std::any_of(sections.begin(), sections.end(), [](const PackedSection& s) { return s.dtype == MOX_F32; });
  return bfloat16 && float32 ? "mixed" : bfloat16 ? "bfloat16" : "float32";
}

// A name that the same request finds again, and a newer state of the checkpoint overwrites.
std::string place_of(const CacheSettings& settings, const std::string& checkpoint, std::string holds,
                     const std::vector<PackedSection>& sections) {
  std::replace(holds.begin(), holds.end(), ' ', '-');
  const std::string name = holds + "." + dtypes_of(sections) + ending;
  if (settings.path.empty()) return checkpoint::join_path(checkpoint, name);
  if (settings.path.back() != '/' && !checkpoint::is_folder(settings.path)) return settings.path;
  std::error_code code;
  fs::path whole = fs::canonical(checkpoint, code);
  if (code) whole = checkpoint;
  std::array<char, 17> digits{};
  const std::string text = whole.string();
  std::snprintf(digits.data(), digits.size(), "%016llx",
                static_cast<unsigned long long>(XXH3_64bits(text.data(), text.size())));
  return checkpoint::join_path(settings.path, whole.filename().string() + "-" + digits.data() + "." + name);
}

std::string speed_text(int64_t bytes, Clock::time_point begin) {
  const double seconds = std::chrono::duration<double>(Clock::now() - begin).count();
  std::array<char, 64> text{};
  std::snprintf(text.data(), text.size(), "%.1f MiB in %.2f s", static_cast<double>(bytes) / (1 << 20), seconds);
  return text.data();
}

// The file a cache is written to before it gets its name. Whoever holds the lock on it is its only writer; one that a
// process left behind when it died is taken over.
class PartialFile {
 public:
  explicit PartialFile(std::string path) : path_(std::move(path)) {
    for (;;) {
      descriptor_ = ::open(path_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0666);
      if (descriptor_ < 0) throw Error(MOX_IO, path_ + ": cannot be made: " + reason(errno));
      if (::flock(descriptor_, LOCK_EX | LOCK_NB) != 0) {
        const int code = errno;
        ::close(descriptor_);
        if (code == EWOULDBLOCK) throw Error(MOX_IO, path_ + ": is being written at this moment");
        throw Error(MOX_IO, path_ + ": cannot be locked: " + reason(code));
      }
      // Between opening and locking, another writer may have finished it and given it its name.
      struct stat mine {
      }, named{};
      if (::fstat(descriptor_, &mine) == 0 && ::lstat(path_.c_str(), &named) == 0 && mine.st_ino == named.st_ino &&
          mine.st_dev == named.st_dev) {
        break;
      }
      ::close(descriptor_);
    }
    struct stat status {};
    if (::fstat(descriptor_, &status) != 0 || !S_ISREG(status.st_mode) || ::ftruncate(descriptor_, 0) != 0) {
      ::close(descriptor_);
      throw Error(MOX_IO, path_ + ": is not a file that can be written");
    }
  }
  ~PartialFile() {
    if (!named_) ::unlink(path_.c_str());
    ::close(descriptor_);
  }
  PartialFile(const PartialFile&) = delete;
  PartialFile& operator=(const PartialFile&) = delete;

  [[nodiscard]] int descriptor() const { return descriptor_; }

  // Every byte is on the disk before the name is: after a crash there is the old file, the new one, or none.
  void finish_as(const std::string& path) {
    if (::fsync(descriptor_) != 0) throw Error(MOX_IO, path_ + ": cannot be written: " + reason(errno));
    if (::rename(path_.c_str(), path.c_str()) != 0) {
      throw Error(MOX_IO, path + ": cannot be replaced: " + reason(errno));
    }
    named_ = true;
    const std::string folder = fs::path(path).parent_path().string();
    const int directory = ::open(folder.empty() ? "." : folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (directory < 0) return;
    (void)::fsync(directory);
    ::close(directory);
  }

 private:
  std::string path_;
  int descriptor_ = -1;
  bool named_ = false;
};

bool same_tensors(const std::vector<PackedSection>& a, const std::vector<PackedSection>& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](const PackedSection& one, const PackedSection& other) {
    return one.name == other.name && one.dtype == other.dtype && one.n == other.n && one.k == other.k;
  });
}

// A path given by mistake must not cost somebody a file.
void require_replaceable(const std::string& path) {
  if (!checkpoint::is_present(path)) return;
  std::error_code code;
  if (fs::is_regular_file(fs::symlink_status(path, code)) && (is_packed_file(path) || fs::file_size(path, code) == 0)) {
    return;
  }
  throw Error(MOX_IO, path + ": is something other than a packed cache and is left alone");
}

}  // namespace

PackedCache::PackedCache(const CacheSettings& settings, const Log& log, const checkpoint::Checkpoint& checkpoint,
                         std::string holds, std::vector<PackedSection> sections, kernels::Storage aim, bool either,
                         int threads)
    : settings_(settings),
      log_(log),
      checkpoint_(checkpoint),
      holds_(std::move(holds)),
      sections_(std::move(sections)),
      aim_(aim),
      either_(either),
      empty_(
          std::none_of(sections_.begin(), sections_.end(), [](const PackedSection& s) { return s.n > 0 && s.k > 0; })),
      threads_(threads) {
  if (settings_.mode != MOX_PACKED_CACHE_OFF) path_ = place_of(settings_, checkpoint.folder, holds_, sections_);
}

PackedCache::Kept PackedCache::load() {
  if (settings_.mode == MOX_PACKED_CACHE_OFF || empty_) return {};
  const auto begin = Clock::now();
  try {
    fingerprint_ = fingerprint_of(*checkpoint_.tensors, sections_, threads_);
    const PackedFile file(path_);
    const PackedHeader& header = file.header();
    const bool as_asked = either_ || header.aim == aim_;
    if (header.fingerprint != fingerprint_ || !same_tensors(header.sections, sections_) || !as_asked) {
      log_(MOX_LOG_INFO, "packed cache " + path_ + " was made from another state of " + checkpoint_.folder +
                             ", or to be held otherwise: not used (it is of " + header.fingerprint + ", expected " +
                             fingerprint_ + ")");
      return {};
    }
    auto data = settings_.map ? file.map(threads_) : file.read(threads_);
    log_(MOX_LOG_INFO,
         "packed cache " + path_ + (settings_.map ? ": mapped " : ": read ") + speed_text(header.data_bytes, begin));
    return {header.sections, std::move(data)};
  } catch (const Error& error) {
    const bool missing = error.status() == MOX_NOT_FOUND;
    log_(missing ? MOX_LOG_INFO : MOX_LOG_WARNING, std::string("packed cache not used: ") + error.what());
  }
  return {};
}

std::shared_ptr<const std::byte> PackedCache::save(const std::vector<PackedSection>& sections, const std::byte* data,
                                                   int64_t bytes) {
  if (settings_.mode != MOX_PACKED_CACHE_READ_WRITE || empty_ || fingerprint_.empty()) return nullptr;
  try {
    return write(sections, data, bytes);
  } catch (const std::exception& error) {
    log_(MOX_LOG_WARNING, std::string("packed cache not written: ") + error.what());
  }
  return nullptr;
}

std::shared_ptr<const std::byte> PackedCache::write(const std::vector<PackedSection>& sections, const std::byte* data,
                                                    int64_t bytes) {
  const auto begin = Clock::now();
  require_replaceable(path_);
  PackedHeader header;
  header.fingerprint = fingerprint_;
  header.made_from = checkpoint_.folder;
  header.holds = holds_;
  header.aim = aim_;
  header.sections = sections;
  header.data_bytes = bytes;
  {
    const std::string partial_path = path_ + partial_ending;
    PartialFile partial(partial_path);
    write_packed_file(partial.descriptor(), partial_path, std::move(header), data, threads_);
    if (fingerprint_of(*checkpoint_.tensors, sections_, threads_) != fingerprint_) {
      throw Error(MOX_IO, checkpoint_.folder + ": changed while it was loaded");
    }
    partial.finish_as(path_);
  }
  log_(MOX_LOG_INFO, "packed cache " + path_ + ": wrote " + speed_text(bytes, begin));
  if (!settings_.map) return nullptr;
  // Another process may have replaced it already, if only by the same.
  const PackedFile file(path_);
  if (file.header().fingerprint != fingerprint_ || file.header().sections != sections) return nullptr;
  return file.map_unchecked();
}

}  // namespace moxie::cache
