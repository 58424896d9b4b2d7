#include "checkpoint/support.h"

#include <zip.h>

#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "runtime/error.h"

namespace moxie::test {

namespace fs = std::filesystem;

TemporaryFolder::TemporaryFolder() {
  std::string pattern = (fs::temp_directory_path() / "moxie-test-XXXXXX").string();
  if (::mkdtemp(pattern.data()) == nullptr) throw std::runtime_error("no temporary folder");
  path_ = pattern;
}

TemporaryFolder::~TemporaryFolder() {
  std::error_code ignored;
  fs::remove_all(path_, ignored);
}

std::string TemporaryFolder::write(const std::string& name, std::string_view bytes) const {
  const std::string path = file(name);
  std::ofstream stream(path, std::ios::binary | std::ios::trunc);
  stream.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  if (!stream) throw std::runtime_error("cannot write " + path);
  return path;
}

void TemporaryFolder::link(const std::string& name, const std::string& target) const {
  fs::create_symlink(target, file(name));
}

std::string read_file(const std::string& path) {
  std::ifstream stream(path, std::ios::binary);
  if (!stream) throw std::runtime_error("cannot read " + path);
  return {std::istreambuf_iterator<char>(stream), {}};
}

void expect_refusal(mox_status status, const std::vector<std::string>& parts, const std::function<void()>& body) {
  try {
    body();
  } catch (const Error& error) {
    EXPECT_EQ(error.status(), status) << error.what();
    for (const std::string& part : parts) EXPECT_THAT(error.what(), testing::HasSubstr(part));
    return;
  }
  ADD_FAILURE() << "nothing was refused; expected a message with " << testing::PrintToString(parts);
}

std::string little(uint64_t number, size_t bytes) {
  std::string text;
  for (size_t index = 0; index < bytes; ++index) text += static_cast<char>(number >> (8 * index) & 0xffU);
  return text;
}

std::string floats(const std::vector<float>& values) {
  std::string bytes(values.size() * sizeof(float), '\0');
  std::memcpy(bytes.data(), values.data(), bytes.size());
  return bytes;
}

std::string safetensors(std::string_view header, std::string_view data) {
  return little(header.size(), 8) + std::string(header) + std::string(data);
}

std::string zero_safetensors(const std::vector<std::pair<std::string, std::vector<int64_t>>>& tensors,
                             const std::string& dtype) {
  const int64_t size = dtype == "F32" || dtype == "I32" ? 4 : 2;
  std::string header = "{";
  int64_t offset = 0;
  for (const auto& [name, shape] : tensors) {
    int64_t bytes = size;
    std::string dimensions;
    for (const int64_t dimension : shape) {
      bytes *= dimension;
      dimensions += (dimensions.empty() ? "" : ",") + std::to_string(dimension);
    }
    header += (offset == 0 ? "\"" : ",\"") + name + R"(":{"dtype":")" + dtype + R"(","shape":[)" + dimensions +
              R"(],"data_offsets":[)" + std::to_string(offset) + "," + std::to_string(offset + bytes) + "]}";
    offset += bytes;
  }
  return safetensors(header + "}", std::string(static_cast<size_t>(offset), '\0'));
}

void write_zip(const std::string& path, const std::vector<ZipEntry>& entries) {
  int code = 0;
  zip_t* archive = zip_open(path.c_str(), ZIP_CREATE | ZIP_TRUNCATE, &code);
  if (archive == nullptr) throw std::runtime_error("cannot write " + path);
  for (const ZipEntry& entry : entries) {
    zip_source_t* source = zip_source_buffer(archive, entry.bytes.data(), entry.bytes.size(), 0);
    const zip_int64_t index = zip_file_add(archive, entry.name.c_str(), source, ZIP_FL_ENC_UTF_8);
    if (index < 0) throw std::runtime_error("cannot add " + entry.name);
    const auto method = entry.compressed ? ZIP_CM_DEFLATE : ZIP_CM_STORE;
    zip_set_file_compression(archive, static_cast<zip_uint64_t>(index), method, 0);
  }
  if (zip_close(archive) != 0) throw std::runtime_error("cannot close " + path);
}

namespace pickle {

std::string text(std::string_view value) { return "X" + little(value.size(), 4) + std::string(value); }

std::string integer(int64_t value) {
  if (value >= 0 && value < 256) return "K" + little(static_cast<uint64_t>(value), 1);
  if (value >= INT32_MIN && value <= INT32_MAX) return "J" + little(static_cast<uint64_t>(value), 4);
  return "\x8a\x08" + little(static_cast<uint64_t>(value), 8);
}

std::string global(const std::string& module, const std::string& name) { return "c" + module + "\n" + name + "\n"; }

std::string tuple(const std::vector<std::string>& items) {
  std::string result = "(";
  for (const std::string& item : items) result += item;
  return result + "t";
}

std::string dict(const std::vector<std::pair<std::string, std::string>>& items) {
  std::string result = "}(";
  for (const auto& [key, value] : items) result += text(key) + value;
  return result + "u";
}

std::string call(const std::string& function, const std::string& arguments) { return function + arguments + "R"; }

std::string sizes(const std::vector<int64_t>& values) {
  std::vector<std::string> items;
  for (const int64_t value : values) items.push_back(integer(value));
  return tuple(items);
}

std::string storage(const std::string& key, int64_t elements, const std::string& type) {
  return tuple({text("storage"), global("torch", type), text(key), text("cpu"), integer(elements)}) + "Q";
}

std::string hooks() { return call(global("collections", "OrderedDict"), ")"); }

std::string tensor(const std::string& from, int64_t offset, const std::vector<int64_t>& shape,
                   const std::vector<int64_t>& stride) {
  return call(global("torch._utils", "_rebuild_tensor_v2"),
              tuple({from, integer(offset), sizes(shape), sizes(stride), no, hooks()}));
}

}  // namespace pickle

std::string write_archive(const TemporaryFolder& folder, const Archive& archive, const std::string& name) {
  std::vector<ZipEntry> entries = {{"model/data.pkl", archive.pickle}};
  if (!archive.byteorder.empty()) entries.push_back({"model/byteorder", archive.byteorder});
  for (const auto& [key, bytes] : archive.storages) entries.push_back({"model/data/" + key, bytes});
  entries.push_back({"model/version", "3\n"});
  write_zip(folder.file(name), entries);
  return folder.file(name);
}

}  // namespace moxie::test
