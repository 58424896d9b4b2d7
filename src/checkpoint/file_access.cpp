#include "checkpoint/file_access.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <system_error>

#include "checkpoint/text.h"
#include "runtime/error.h"

namespace moxie::checkpoint {
namespace {

namespace fs = std::filesystem;

constexpr int64_t worth_giving_back = int64_t{64} << 10;

std::string reason(int code) { return std::generic_category().message(code); }

Error cannot_open(const std::string& path, int code) {
  if (code == ENOENT || code == ENOTDIR) return not_found(path + ": no such file");
  return {MOX_IO, path + ": cannot be opened: " + reason(code)};
}

}  // namespace

File::File(const std::string& path, bool map) : path_(path) {
  // O_NONBLOCK: a named pipe in place of a file must not hold us up before it is refused.
  descriptor_ = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (descriptor_ < 0) throw cannot_open(path, errno);
  struct stat status {};
  const bool known = ::fstat(descriptor_, &status) == 0;
  const int code = errno;
  if (!known || !S_ISREG(status.st_mode)) {
    ::close(descriptor_);
    if (!known) throw cannot_open(path, code);
    throw invalid_file(path + ": is not a regular file");
  }
  size_ = status.st_size;
  if (map && size_ > 0) {
    void* address = ::mmap(nullptr, static_cast<size_t>(size_), PROT_READ, MAP_PRIVATE, descriptor_, 0);
    if (address == MAP_FAILED) {
      const int failure = errno;
      ::close(descriptor_);
      throw Error(MOX_IO, path + ": cannot be mapped: " + reason(failure));
    }
    mapping_ = static_cast<const unsigned char*>(address);
  }
}

File::~File() {
  if (mapping_ != nullptr) ::munmap(const_cast<unsigned char*>(mapping_), static_cast<size_t>(size_));
  if (descriptor_ >= 0) ::close(descriptor_);
}

void File::read(int64_t offset, int64_t count, void* destination) const {
  if (offset < 0 || count < 0 || offset > size_ || count > size_ - offset) {
    throw Error(MOX_INTERNAL, path_ + ": reading " + std::to_string(count) + " bytes at " + std::to_string(offset) +
                                  " of " + std::to_string(size_));
  }
  if (count == 0) return;
  if (mapping_ != nullptr) {
    std::memcpy(destination, mapping_ + offset, static_cast<size_t>(count));
    if (count >= worth_giving_back) {
      // Pages at the edges that a neighbour still needs come back from the system's cache.
      const int64_t page = ::sysconf(_SC_PAGESIZE);
      const int64_t begin = offset / page * page;
      (void)::madvise(const_cast<unsigned char*>(mapping_) + begin, static_cast<size_t>(offset + count - begin),
                      MADV_DONTNEED);
    }
    return;
  }
  auto* next = static_cast<unsigned char*>(destination);
  int64_t done = 0;
  while (done < count) {
    const ssize_t got = ::pread(descriptor_, next + done, static_cast<size_t>(count - done), offset + done);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) throw Error(MOX_IO, path_ + ": cannot be read: " + reason(errno));
    if (got == 0) {
      throw invalid_file(path_ + ": ends at byte " + std::to_string(offset + done) + "; it had " +
                         std::to_string(size_) + " bytes when it was opened");
    }
    done += got;
  }
}

int64_t File::modified_ns() const {
  struct stat status {};
  if (::fstat(descriptor_, &status) != 0) throw cannot_open(path_, errno);
  return int64_t{status.st_mtim.tv_sec} * 1'000'000'000 + status.st_mtim.tv_nsec;
}

void File::expect_read(int64_t offset, int64_t count) const {
  if (offset < size_) (void)::posix_fadvise(descriptor_, offset, count, POSIX_FADV_WILLNEED);
}

std::shared_ptr<const std::byte> File::map_shared(int64_t offset, int64_t count) const {
  if (offset < 0 || count < 0 || offset > size_ || count > size_ - offset) {
    throw Error(MOX_INTERNAL, path_ + ": mapping " + std::to_string(count) + " bytes at " + std::to_string(offset) +
                                  " of " + std::to_string(size_));
  }
  if (count == 0) return nullptr;
  const auto size = static_cast<size_t>(count);
  void* address = ::mmap(nullptr, size, PROT_READ, MAP_SHARED, descriptor_, offset);
  if (address == MAP_FAILED) throw Error(MOX_IO, path_ + ": cannot be mapped: " + reason(errno));
  // Few file systems have huge pages to give.
  (void)::madvise(address, size, MADV_HUGEPAGE);
  return {static_cast<const std::byte*>(address),
          [size](const std::byte* mapped) { ::munmap(const_cast<std::byte*>(mapped), size); }};
}

std::string read_whole(const std::string& path, int64_t limit) {
  const File file(path);
  if (file.size() > limit) {
    throw invalid_file(path + ": has " + std::to_string(file.size()) + " bytes; expected at most " +
                       std::to_string(limit));
  }
  std::string text(static_cast<size_t>(file.size()), '\0');
  file.read(0, file.size(), text.data());
  return text;
}

bool is_present(const std::string& path) {
  std::error_code code;
  return fs::exists(fs::symlink_status(path, code));
}

bool is_folder(const std::string& path) {
  std::error_code code;
  return fs::is_directory(path, code);
}

void require_folder(const std::string& folder) {
  if (is_folder(folder)) return;
  throw not_found(folder + (is_present(folder) ? ": is not a folder" : ": no such folder"));
}

std::string resolve_inside(const std::string& folder, const std::string& name) {
  const std::string path = join_path(folder, name);
  std::error_code code;
  const fs::path root = fs::canonical(folder, code);
  if (code) throw cannot_open(folder, code.value());
  const fs::path target = fs::canonical(path, code);
  if (code) throw cannot_open(path, code.value());
  const auto [root_end, rest] = std::mismatch(root.begin(), root.end(), target.begin(), target.end());
  if (root_end != root.end()) {
    throw invalid_file(path + ": is a link to " + quote(target.string()) +
                       ", outside of the folder; expected files of the folder itself (copy them there)");
  }
  return target.string();
}

std::vector<std::string> list_folder(const std::string& folder) {
  std::error_code code;
  std::vector<std::string> names;
  for (fs::directory_iterator entry(folder, code), end; !code && entry != end; entry.increment(code)) {
    names.push_back(entry->path().filename().string());
  }
  if (code) throw Error(MOX_IO, folder + ": cannot be listed: " + code.message());
  std::sort(names.begin(), names.end());
  return names;
}

}  // namespace moxie::checkpoint
