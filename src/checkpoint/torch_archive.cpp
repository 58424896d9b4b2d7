#include "checkpoint/torch_archive.h"

#include <xxhash.h>

#include <algorithm>
#include <cstring>
#include <list>
#include <map>
#include <mutex>
#include <utility>

#include "checkpoint/checked.h"
#include "checkpoint/file_access.h"
#include "checkpoint/pickle.h"
#include "checkpoint/text.h"
#include "checkpoint/zip_archive.h"
#include "runtime/error.h"

namespace moxie::checkpoint {
namespace {

constexpr int64_t largest_pickle = int64_t{16} << 20;
// Storages are kept in memory up to this many bytes; the one read last is always kept.
constexpr int64_t kept_bytes = int64_t{256} << 20;

using Bytes = std::vector<unsigned char>;

// How a tensor lies in its storage, in elements.
struct View {
  std::string storage;
  int64_t offset = 0;
  std::vector<int64_t> stride;
  bool contiguous = false;
};

bool is_contiguous(const std::vector<int64_t>& shape, const std::vector<int64_t>& stride) {
  int64_t expected = 1;
  for (size_t index = shape.size(); index-- > 0;) {
    if (shape[index] != 1 && stride[index] != expected) return false;
    expected *= shape[index];
  }
  return true;
}

// Copies elements [first, first + count) of the row-major order, walking the strides.
void copy_strided(const TensorEntry& entry, const View& view, const unsigned char* storage, int64_t first,
                  int64_t count, size_t size, unsigned char* destination) {
  const size_t dimensions = entry.shape.size();
  std::vector<int64_t> at(dimensions);
  int64_t rest = first;
  int64_t place = view.offset;
  for (size_t index = dimensions; index-- > 0;) {
    at[index] = rest % entry.shape[index];
    rest /= entry.shape[index];
    place += at[index] * view.stride[index];
  }
  for (int64_t done = 0; done < count; ++done) {
    std::memcpy(destination + static_cast<size_t>(done) * size, storage + static_cast<size_t>(place) * size, size);
    for (size_t index = dimensions; index-- > 0;) {
      place += view.stride[index];
      if (++at[index] < entry.shape[index]) break;
      place -= at[index] * view.stride[index];
      at[index] = 0;
    }
  }
}

class TorchArchive : public TensorSource {
 public:
  TorchArchive(const std::string& path, std::string shown_as)
      : path_(std::move(shown_as)), file_(path), archive_(path, path_), prefix_(find_prefix()) {
    check_byte_order();
    const std::string pickle = prefix_ + "data.pkl";
    const int64_t size = archive_.entries().at(pickle).bytes;
    if (size > largest_pickle) {
      throw invalid_file(path_ + ": data.pkl has " + std::to_string(size) + " bytes; expected at most " +
                         std::to_string(largest_pickle));
    }
    const Bytes bytes = archive_.read(pickle);
    const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    header_hash_ = XXH3_64bits(bytes.data(), bytes.size());
    for (const auto& [name, entry] : archive_.entries()) {
      header_hash_ = XXH3_64bits_withSeed(name.data(), name.size(), header_hash_);
      header_hash_ = XXH3_64bits_withSeed(&entry.checksum, sizeof entry.checksum, header_hash_);
    }
    std::vector<PickledTensor> tensors = unpickle_tensors(text, path_ + ": data.pkl");
    std::sort(tensors.begin(), tensors.end(),
              [](const PickledTensor& a, const PickledTensor& b) { return a.name < b.name; });
    std::map<std::string, DType> dtypes;
    for (PickledTensor& tensor : tensors) add(std::move(tensor), dtypes);
  }

  [[nodiscard]] const std::vector<TensorEntry>& entries() const override { return entries_; }
  [[nodiscard]] const std::string& path() const override { return path_; }

  [[nodiscard]] std::vector<SourceFile> files() const override {
    return {{path_.substr(path_.find_last_of('/') + 1), file_.size(), file_.modified_ns(), header_hash_, true}};
  }

  void read(size_t entry, int64_t first, int64_t count, void* destination) const override {
    const TensorEntry& tensor = entries_.at(entry);
    const View& view = views_[entry];
    const int64_t all = tensor.elements();
    if (first < 0 || count < 0 || first > all || count > all - first) {
      throw Error(MOX_INTERNAL, place(tensor.name) + ": elements " + std::to_string(first) + " + " +
                                    std::to_string(count) + " of " + std::to_string(all));
    }
    if (count == 0) return;
    const std::shared_ptr<const Bytes> storage = load(view.storage);
    const size_t size = mox_dtype_size(tensor.dtype);
    auto* out = static_cast<unsigned char*>(destination);
    if (view.contiguous) {
      std::memcpy(out, storage->data() + static_cast<size_t>(view.offset + first) * size,
                  static_cast<size_t>(count) * size);
    } else {
      copy_strided(tensor, view, storage->data(), first, count, size, out);
    }
  }

 private:
  [[nodiscard]] std::string place(const std::string& name) const { return path_ + ": tensor " + quote(name); }

  [[nodiscard]] std::string find_prefix() const {
    constexpr std::string_view ending = "/data.pkl";
    std::vector<std::string> found;
    for (const auto& [name, entry] : archive_.entries()) {
      if (name.ends_with(ending)) found.push_back(name.substr(0, name.size() - ending.size() + 1));
    }
    if (found.size() != 1) {
      throw invalid_file(path_ + ": holds " + std::to_string(found.size()) +
                         " entries called data.pkl; expected one, as torch.save writes it");
    }
    return found[0];
  }

  void check_byte_order() const {
    const std::string name = prefix_ + "byteorder";
    const auto found = archive_.entries().find(name);
    if (found == archive_.entries().end()) return;  // older archives do not say: little
    const Bytes bytes = found->second.bytes > 16 ? Bytes{'?'} : archive_.read(name);
    const std::string order(bytes.begin(), bytes.end());
    if (order != "little") throw unsupported(path_ + ": byteorder is " + quote(order) + "; expected \"little\"");
  }

  void add(PickledTensor tensor, std::map<std::string, DType>& dtypes);

  // The bytes of a storage. Whoever asks first reads them; its checksum is verified then.
  [[nodiscard]] std::shared_ptr<const Bytes> load(const std::string& key) const;

  std::string path_;
  File file_;
  ZipArchive archive_;
  std::string prefix_;
  std::vector<TensorEntry> entries_;
  std::vector<View> views_;
  uint64_t header_hash_ = 0;

  struct Kept {
    std::string key;
    std::shared_ptr<const Bytes> bytes;
  };
  mutable std::mutex mutex_;      // guards what follows, and archive_
  mutable std::list<Kept> kept_;  // the one used last in front
  mutable int64_t kept_total_ = 0;
};

void TorchArchive::add(PickledTensor tensor, std::map<std::string, DType>& dtypes) {
  TensorEntry entry;
  entry.name = std::move(tensor.name);
  entry.file = path_.substr(path_.find_last_of('/') + 1);
  entry.dtype = tensor.dtype;
  entry.shape = std::move(tensor.shape);
  const std::string where = place(entry.name) + " is " + entry.describe();
  const auto size = static_cast<int64_t>(mox_dtype_size(entry.dtype));

  const std::string file = prefix_ + "data/" + tensor.storage;
  const auto stored = archive_.entries().find(file);
  if (stored == archive_.entries().end()) throw invalid_file(where + ": its storage " + quote(file) + " is missing");
  const auto storage_bytes = checked_multiply(tensor.storage_elements, size);
  if (!storage_bytes || *storage_bytes != stored->second.bytes) {
    throw invalid_file(where + ": its storage " + quote(file) + " has " + std::to_string(stored->second.bytes) +
                       " bytes; expected " + std::to_string(tensor.storage_elements) + " elements of " +
                       std::to_string(size));
  }
  const auto known = dtypes.emplace(tensor.storage, entry.dtype).first->second;
  if (known != entry.dtype) {
    throw invalid_file(where + ": its storage " + quote(file) + " is " + dtype_name(known) + " elsewhere");
  }

  const auto bytes = checked_bytes(entry.shape, size);
  if (!bytes) throw invalid_file(where + ", more than " + std::to_string(INT64_MAX) + " bytes");
  // Repeating strides could make any amount of data out of nothing.
  if (*bytes > *storage_bytes) {
    throw invalid_file(where + ", " + std::to_string(*bytes) + " bytes, but its storage " + quote(file) + " has " +
                       std::to_string(*storage_bytes));
  }
  std::optional<int64_t> last = tensor.offset;
  for (size_t index = 0; last && *bytes > 0 && index < entry.shape.size(); ++index) {
    const auto reach = checked_multiply(entry.shape[index] - 1, tensor.stride[index]);
    last = reach ? checked_add(*last, *reach) : std::nullopt;
  }
  if (!last || *last > tensor.storage_elements || (*bytes > 0 && *last == tensor.storage_elements)) {
    throw invalid_file(where + " at offset " + std::to_string(tensor.offset) + " with strides " +
                       shape_text(tensor.stride) + ", which leave its storage " + quote(file) + " of " +
                       std::to_string(tensor.storage_elements) + " elements");
  }
  entry.bytes = *bytes;
  View view;
  view.storage = std::move(tensor.storage);
  view.offset = tensor.offset;
  view.contiguous = is_contiguous(entry.shape, tensor.stride);
  view.stride = std::move(tensor.stride);
  entries_.push_back(std::move(entry));
  views_.push_back(std::move(view));
}

std::shared_ptr<const Bytes> TorchArchive::load(const std::string& key) const {
  const std::lock_guard lock(mutex_);
  const auto found = std::find_if(kept_.begin(), kept_.end(), [&](const Kept& kept) { return kept.key == key; });
  if (found != kept_.end()) {
    kept_.splice(kept_.begin(), kept_, found);
    return found->bytes;
  }
  auto bytes = std::make_shared<const Bytes>(archive_.read(prefix_ + "data/" + key));
  kept_total_ += static_cast<int64_t>(bytes->size());
  kept_.push_front({key, bytes});
  while (kept_total_ > kept_bytes && kept_.size() > 1) {
    kept_total_ -= static_cast<int64_t>(kept_.back().bytes->size());
    kept_.pop_back();
  }
  return bytes;
}

}  // namespace

std::unique_ptr<TensorSource> open_torch_archive(const std::string& path, const std::string& shown_as) {
  return std::make_unique<TorchArchive>(path, shown_as);
}

std::unique_ptr<TensorSource> open_torch_archive(const std::string& path) { return open_torch_archive(path, path); }

}  // namespace moxie::checkpoint
