// Files as the readers see them: regular, of a known size, read at offsets or mapped.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace moxie::checkpoint {

// An open regular file. read() may be called from several threads at once.
class File {
 public:
  // MOX_NOT_FOUND where there is none, MOX_IO where the system refuses, MOX_INVALID_FILE for anything but a regular
  // file. map: reads copy from a mapping instead of calling pread.
  explicit File(const std::string& path, bool map = false);
  ~File();
  File(const File&) = delete;
  File& operator=(const File&) = delete;

  [[nodiscard]] const std::string& path() const { return path_; }
  [[nodiscard]] int64_t size() const { return size_; }

  // [offset, offset + count) must lie within size(). A file that became shorter meanwhile is an error (when mapped:
  // SIGBUS, which is why reading is the default). Of a mapping, pages that were read are given back, so that a large
  // file is never resident as a whole.
  void read(int64_t offset, int64_t count, void* destination) const;

  // When the file was last written, as the system says at this moment: nanoseconds since 1970.
  [[nodiscard]] int64_t modified_ns() const;

  // Tells the system that this part, as far as it lies in the file, will be read soon.
  void expect_read(int64_t offset, int64_t count) const;

  // Bytes [offset, offset + count) of the file as memory that processes share, only to be read; offset must be a
  // multiple of the page size. Outlives this object. Cut short while mapped, it ends the process with SIGBUS.
  [[nodiscard]] std::shared_ptr<const std::byte> map_shared(int64_t offset, int64_t count) const;

 private:
  std::string path_;
  int descriptor_ = -1;
  int64_t size_ = 0;
  const unsigned char* mapping_ = nullptr;
};

// The whole of a small file; MOX_INVALID_FILE where it is larger than `limit` bytes.
std::string read_whole(const std::string& path, int64_t limit);

// Whether anything has that name, a link that leads nowhere included: it is refused where it is opened.
bool is_present(const std::string& path);
bool is_folder(const std::string& path);

// MOX_NOT_FOUND naming the folder where it is none.
void require_folder(const std::string& folder);

// Path of a file of a folder, after every link is followed. Refuses links that lead out of the folder; MOX_NOT_FOUND
// where there is no such file.
std::string resolve_inside(const std::string& folder, const std::string& name);

// Names of what lies in the folder, sorted.
std::vector<std::string> list_folder(const std::string& folder);

}  // namespace moxie::checkpoint
