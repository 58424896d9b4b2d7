#include "checkpoint/safetensors.h"

#include <xxhash.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

#include "checkpoint/checked.h"
#include "checkpoint/file_access.h"
#include "checkpoint/json.h"
#include "checkpoint/text.h"
#include "moxie/file.h"
#include "runtime/error.h"

namespace moxie::checkpoint {
namespace {

constexpr int64_t length_bytes = 8;

struct StoredDType {
  const char* name;
  DType dtype;
};
constexpr std::array<StoredDType, 10> stored_dtypes = {{{"F32", MOX_F32},
                                                        {"BF16", MOX_BF16},
                                                        {"F16", MOX_F16},
                                                        {"F64", MOX_F64},
                                                        {"I64", MOX_I64},
                                                        {"I32", MOX_I32},
                                                        {"I16", MOX_I16},
                                                        {"I8", MOX_I8},
                                                        {"U8", MOX_U8},
                                                        {"BOOL", MOX_BOOL}}};

std::string file_name(const std::string& path) { return path.substr(path.find_last_of('/') + 1); }

class Safetensors : public TensorSource {
 public:
  Safetensors(const std::string& path, std::string shown_as, bool map) : file_(path, map), path_(std::move(shown_as)) {
    read_header();
  }

  [[nodiscard]] const std::vector<TensorEntry>& entries() const override { return entries_; }
  [[nodiscard]] const std::string& path() const override { return path_; }

  [[nodiscard]] std::vector<SourceFile> files() const override {
    return {{file_name(path_), file_.size(), file_.modified_ns(), header_hash_, false}};
  }

  void read(size_t entry, int64_t first, int64_t count, void* destination) const override {
    const TensorEntry& tensor = entries_.at(entry);
    const int64_t all = tensor.elements();
    if (first < 0 || count < 0 || first > all || count > all - first) {
      throw Error(MOX_INTERNAL, place(tensor.name) + ": elements " + std::to_string(first) + " + " +
                                    std::to_string(count) + " of " + std::to_string(all));
    }
    const auto size = static_cast<int64_t>(mox_dtype_size(tensor.dtype));
    file_.read(begins_[entry] + first * size, count * size, destination);
  }

 private:
  struct Found {
    TensorEntry entry;
    int64_t begin = 0, end = 0;  // in the data
  };

  [[nodiscard]] std::string place(const std::string& name) const { return path_ + ": tensor " + quote(name); }

  void read_header();
  Found read_entry(const std::string& name, const Json& value) const;
  void check_metadata(const Json& value) const;
  void check_layout(std::vector<Found>& found, int64_t data_bytes) const;

  File file_;
  std::string path_;
  std::vector<TensorEntry> entries_;
  std::vector<int64_t> begins_;  // in the file
  uint64_t header_hash_ = 0;
};

void Safetensors::read_header() {
  if (file_.size() < length_bytes) {
    throw invalid_file(path_ + ": has " + std::to_string(file_.size()) +
                       " bytes; expected a safetensors file of at least 8");
  }
  std::array<unsigned char, length_bytes> raw{};
  file_.read(0, length_bytes, raw.data());
  uint64_t length = 0;
  for (size_t index = raw.size(); index-- > 0;) length = length << 8U | raw[index];
  const auto rest = static_cast<uint64_t>(file_.size() - length_bytes);
  if (length > static_cast<uint64_t>(largest_safetensors_header)) {
    throw invalid_file(path_ + ": header length is " + std::to_string(length) + " bytes; expected at most " +
                       std::to_string(largest_safetensors_header));
  }
  if (length > rest) {
    throw invalid_file(path_ + ": header length is " + std::to_string(length) + " bytes, but only " +
                       std::to_string(rest) + " follow");
  }
  std::string text(length, '\0');
  file_.read(length_bytes, static_cast<int64_t>(length), text.data());
  header_hash_ = XXH3_64bits(text.data(), text.size());
  if (text.empty() || text.front() != '{') {
    throw invalid_file(path_ + ": header does not begin with '{'; expected a JSON object");
  }
  const Json header = parse_json(text, path_ + ": header");

  std::vector<Found> found;
  for (const auto& [name, value] : header.items()) {
    if (name == "__metadata__") {
      check_metadata(value);
    } else {
      found.push_back(read_entry(name, value));
    }
  }
  check_layout(found, static_cast<int64_t>(rest - length));
  std::sort(found.begin(), found.end(), [](const Found& a, const Found& b) { return a.entry.name < b.entry.name; });
  for (Found& tensor : found) {
    begins_.push_back(length_bytes + static_cast<int64_t>(length) + tensor.begin);
    entries_.push_back(std::move(tensor.entry));
  }
}

void Safetensors::check_metadata(const Json& value) const {
  if (!value.is_object()) {
    throw invalid_file(path_ + ": __metadata__ is " + show(value) + "; expected an object of strings");
  }
  for (const auto& [key, text] : value.items()) {
    if (!text.is_string()) {
      throw invalid_file(path_ + ": __metadata__ " + quote(key) + " is " + show(text) + "; expected a string");
    }
  }
}

Safetensors::Found Safetensors::read_entry(const std::string& name, const Json& value) const {
  if (!is_tensor_name(name)) {
    throw invalid_file(place(name) + ": expected a name of 1 to 1024 bytes without control characters");
  }
  if (!value.is_object()) throw invalid_file(place(name) + " is " + show(value) + "; expected an object");
  for (const auto& [key, unused] : value.items()) {
    if (key != "dtype" && key != "shape" && key != "data_offsets") {
      throw invalid_file(place(name) + " has the field " + quote(key) +
                         "; expected dtype, shape and data_offsets only");
    }
  }
  const Fields fields(value, place(name));
  Found found;
  found.entry.name = name;
  found.entry.file = file_name(path_);

  const auto dtype = fields.string("dtype");
  const auto* known = std::find_if(stored_dtypes.begin(), stored_dtypes.end(),
                                   [&](const StoredDType& stored) { return dtype == stored.name; });
  if (known == stored_dtypes.end()) {
    fields.refuse("dtype", "one of F32, BF16, F16, F64, I64, I32, I16, I8, U8, BOOL");
  }
  found.entry.dtype = known->dtype;

  const Json* shape = fields.array("shape");
  if (shape == nullptr) fields.refuse("shape", "an array of dimensions");
  if (shape->size() > MOX_MAX_DIMENSIONS) {
    throw invalid_file(place(name) + " has " + std::to_string(shape->size()) + " dimensions; expected at most " +
                       std::to_string(MOX_MAX_DIMENSIONS));
  }
  const auto is_size = [](const Json& number) { return as_integer(number).value_or(-1) >= 0; };
  for (const Json& dimension : *shape) {
    if (!is_size(dimension)) fields.refuse("shape", "dimensions from 0 to " + std::to_string(INT64_MAX));
    found.entry.shape.push_back(dimension.get<int64_t>());
  }

  const Json* offsets = fields.array("data_offsets");
  if (offsets == nullptr || offsets->size() != 2 || !is_size((*offsets)[0]) || !is_size((*offsets)[1])) {
    fields.refuse("data_offsets", "[begin, end]");
  }
  found.begin = (*offsets)[0].get<int64_t>();
  found.end = (*offsets)[1].get<int64_t>();
  if (found.end < found.begin) fields.refuse("data_offsets", "an end at or after the begin");

  const auto bytes = checked_bytes(found.entry.shape, static_cast<int64_t>(mox_dtype_size(found.entry.dtype)));
  if (!bytes) {
    throw invalid_file(place(name) + " is " + found.entry.describe() + ", more than " + std::to_string(INT64_MAX) +
                       " bytes");
  }
  if (*bytes != found.end - found.begin) {
    throw invalid_file(place(name) + " is " + found.entry.describe() + ", " + std::to_string(*bytes) +
                       " bytes, but its data_offsets " + show(*offsets) + " span " +
                       std::to_string(found.end - found.begin));
  }
  found.entry.bytes = *bytes;
  return found;
}

void Safetensors::check_layout(std::vector<Found>& found, int64_t data_bytes) const {
  std::sort(found.begin(), found.end(),
            [](const Found& a, const Found& b) { return std::pair(a.begin, a.end) < std::pair(b.begin, b.end); });
  int64_t end = 0;
  const std::string* before = nullptr;
  for (const Found& tensor : found) {
    const std::string range = "[" + std::to_string(tensor.begin) + ", " + std::to_string(tensor.end) + "]";
    if (tensor.end > data_bytes) {
      throw invalid_file(place(tensor.entry.name) + ": data_offsets " + range + " exceed the file's " +
                         std::to_string(data_bytes) + " bytes of data");
    }
    if (tensor.begin < end) {
      throw invalid_file(place(tensor.entry.name) + ": data_offsets " + range + " overlap those of " + quote(*before) +
                         ", which end at " + std::to_string(end));
    }
    if (tensor.begin > end) {
      throw invalid_file(place(tensor.entry.name) + ": data_offsets " + range + " leave a gap after byte " +
                         std::to_string(end));
    }
    end = tensor.end;
    before = &tensor.entry.name;
  }
  if (end != data_bytes) {
    throw invalid_file(path_ + ": has " + std::to_string(data_bytes) + " bytes of data; expected " +
                       std::to_string(end) + ", where the last tensor ends");
  }
}

}  // namespace

std::unique_ptr<TensorSource> open_safetensors(const std::string& path, const std::string& shown_as, bool map) {
  return std::make_unique<Safetensors>(path, shown_as, map);
}

std::unique_ptr<TensorSource> open_safetensors(const std::string& path, bool map) {
  return open_safetensors(path, path, map);
}

}  // namespace moxie::checkpoint
