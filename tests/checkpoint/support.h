// Files made by the tests: folders that vanish, safetensors, zip archives, pickles.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "moxie/status.h"

namespace moxie::test {

// A folder of its own for a test, removed with the object.
class TemporaryFolder {
 public:
  TemporaryFolder();
  ~TemporaryFolder();
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;

  [[nodiscard]] const std::string& path() const { return path_; }
  [[nodiscard]] std::string file(const std::string& name) const { return path_ + "/" + name; }
  // Writes a file and returns its path.
  std::string write(const std::string& name, std::string_view bytes) const;
  void link(const std::string& name, const std::string& target) const;

 private:
  std::string path_;
};

std::string read_file(const std::string& path);

// The body must throw Error with that status, its message holding every one of the parts.
void expect_refusal(mox_status status, const std::vector<std::string>& parts, const std::function<void()>& body);

// A number as its little-endian bytes.
std::string little(uint64_t number, size_t bytes);
std::string floats(const std::vector<float>& values);

// The 8 bytes of length, the header, the data.
std::string safetensors(std::string_view header, std::string_view data);
// Zeros under these names, float32.
std::string zero_safetensors(const std::vector<std::pair<std::string, std::vector<int64_t>>>& tensors,
                             const std::string& dtype = "F32");

struct ZipEntry {
  std::string name;
  std::string bytes;
  bool compressed = false;
};
void write_zip(const std::string& path, const std::vector<ZipEntry>& entries);

// Pickle instructions.
namespace pickle {
inline const std::string begin = std::string("\x80\x02", 2);
inline const std::string end = ".";
std::string text(std::string_view value);
std::string integer(int64_t value);
std::string global(const std::string& module, const std::string& name);
std::string tuple(const std::vector<std::string>& items);
std::string dict(const std::vector<std::pair<std::string, std::string>>& items);
std::string call(const std::string& function, const std::string& arguments);
inline const std::string no = "\x89";
std::string sizes(const std::vector<int64_t>& values);
std::string storage(const std::string& key, int64_t elements, const std::string& type = "FloatStorage");
std::string hooks();
std::string tensor(const std::string& storage, int64_t offset, const std::vector<int64_t>& shape,
                   const std::vector<int64_t>& stride);
}  // namespace pickle

// A torch archive around the instructions of data.pkl.
struct Archive {
  std::string pickle;
  std::vector<std::pair<std::string, std::string>> storages;  // key, bytes
  std::string byteorder = "little";
};
std::string write_archive(const TemporaryFolder& folder, const Archive& archive,
                          const std::string& name = "adapter_model.bin");

}  // namespace moxie::test
