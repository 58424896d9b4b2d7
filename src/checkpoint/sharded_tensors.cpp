#include "checkpoint/sharded_tensors.h"

#include <algorithm>
#include <map>
#include <utility>

#include "checkpoint/file_access.h"
#include "checkpoint/json.h"
#include "checkpoint/safetensors.h"
#include "checkpoint/text.h"
#include "runtime/error.h"

namespace moxie::checkpoint {
namespace {

constexpr int64_t largest_index = int64_t{100} << 20;
constexpr size_t longest_shard_name = 255;

class ShardedTensors : public TensorSource {
 public:
  ShardedTensors(std::string folder, const std::string& index, bool map) : path_(std::move(folder)) {
    const std::map<std::string, std::string> shard_of =
        read_index(resolve_inside(path_, index), join_path(path_, index));
    std::map<std::string, size_t> opened;
    for (const auto& [tensor, shard] : shard_of) {
      if (!opened.emplace(shard, shards_.size()).second) continue;
      shards_.push_back(open_safetensors(resolve_inside(path_, shard), join_path(path_, shard), map));
      add(shard_of, shard, join_path(path_, index));
    }
    std::sort(places_.begin(), places_.end(),
              [this](const Place& a, const Place& b) { return entry_at(a).name < entry_at(b).name; });
    for (const Place& place : places_) entries_.push_back(entry_at(place));
    for (const auto& [tensor, shard] : shard_of) {
      if (find(tensor) < 0) {
        throw invalid_file(join_path(path_, shard) + ": holds no tensor " + quote(tensor) + ", which " + index +
                           " promises");
      }
    }
  }

  [[nodiscard]] const std::vector<TensorEntry>& entries() const override { return entries_; }
  [[nodiscard]] const std::string& path() const override { return path_; }

  [[nodiscard]] std::vector<SourceFile> files() const override {
    std::vector<SourceFile> result;
    for (const auto& shard : shards_) {
      for (SourceFile& file : shard->files()) result.push_back(std::move(file));
    }
    return result;
  }

  void read(size_t entry, int64_t first, int64_t count, void* destination) const override {
    const Place& place = places_.at(entry);
    shards_[place.shard]->read(place.entry, first, count, destination);
  }

 private:
  struct Place {
    size_t shard = 0;
    size_t entry = 0;
  };

  [[nodiscard]] const TensorEntry& entry_at(const Place& place) const {
    return shards_[place.shard]->entries()[place.entry];
  }

  static std::map<std::string, std::string> read_index(const std::string& path, const std::string& shown_as);

  // The tensors of the shard opened last.
  void add(const std::map<std::string, std::string>& shard_of, const std::string& shard, const std::string& index) {
    const auto& held = shards_.back()->entries();
    for (size_t entry = 0; entry < held.size(); ++entry) {
      const std::string place = join_path(path_, shard) + ": tensor " + quote(held[entry].name);
      const auto promised = shard_of.find(held[entry].name);
      if (promised == shard_of.end()) throw invalid_file(place + " is not in " + index);
      if (promised->second != shard) {
        throw invalid_file(place + " should be in " + quote(promised->second) + ", says " + index);
      }
      places_.push_back({shards_.size() - 1, entry});
    }
  }

  std::string path_;
  std::vector<std::unique_ptr<TensorSource>> shards_;
  std::vector<Place> places_;
  std::vector<TensorEntry> entries_;
};

std::map<std::string, std::string> ShardedTensors::read_index(const std::string& path, const std::string& shown_as) {
  const Json index = parse_json(read_whole(path, largest_index), shown_as);
  if (!index.is_object()) throw invalid_file(shown_as + ": holds " + show(index) + "; expected an object");
  const auto map = Fields(index, shown_as).object("weight_map");
  if (!map || map->json().empty()) {
    throw invalid_file(shown_as + ": weight_map is missing or empty; expected an object of tensors and their files");
  }
  std::map<std::string, std::string> shard_of;
  for (const auto& [tensor, value] : map->json().items()) {
    const std::string place = shown_as + ": weight_map " + quote(tensor) + " is " + show(value);
    if (!value.is_string()) throw invalid_file(place + "; expected a file's name");
    const std::string shard = value.get<std::string>();
    if (!shard.ends_with(".safetensors") || shard.size() > longest_shard_name ||
        shard.find_first_of("/\\") != std::string::npos || shard.find("..") != std::string::npos ||
        shard.find('\0') != std::string::npos) {
      throw invalid_file(place + "; expected the name of a .safetensors file of the same folder");
    }
    shard_of.emplace(tensor, shard);
  }
  return shard_of;
}

}  // namespace

std::unique_ptr<TensorSource> open_sharded_tensors(const std::string& folder, const std::string& index, bool map) {
  return std::make_unique<ShardedTensors>(folder, index, map);
}

}  // namespace moxie::checkpoint
