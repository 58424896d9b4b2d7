#include "checkpoint/checkpoint.h"

#include <array>

#include "checkpoint/config.h"
#include "checkpoint/file_access.h"
#include "checkpoint/roles.h"
#include "checkpoint/safetensors.h"
#include "checkpoint/sharded_tensors.h"
#include "checkpoint/text.h"
#include "checkpoint/torch_archive.h"
#include "runtime/error.h"

namespace moxie::checkpoint {
namespace {

constexpr const char* hugging_face_config = "config.json";
constexpr const char* mistral_config = "params.json";
constexpr const char* one_file = "model.safetensors";
constexpr const char* shard_index = "model.safetensors.index.json";
constexpr const char* consolidated = "consolidated.safetensors";
constexpr const char* consolidated_archive = "consolidated.00.pth";

// Which of two names is there; "" for neither, an error for both.
std::string one_of(const std::string& folder, const char* first, const char* second) {
  const bool has_first = is_present(join_path(folder, first));
  const bool has_second = is_present(join_path(folder, second));
  if (has_first && has_second) {
    throw invalid_file(folder + ": holds both " + first + " and " + second + "; expected one of them");
  }
  return has_first ? first : has_second ? second : "";
}

bool has_any(const std::string& folder, std::initializer_list<const char*> names) {
  for (const char* name : names) {
    if (is_present(join_path(folder, name))) return true;
  }
  return false;
}

}  // namespace

CheckpointFiles find_checkpoint_files(const std::string& folder) {
  require_folder(folder);
  const bool has_config = has_any(folder, {hugging_face_config});
  const bool has_params = has_any(folder, {mistral_config});
  if (has_config && has_any(folder, {one_file, shard_index})) {
    return {folder, hugging_face_config, one_of(folder, one_file, shard_index)};
  }
  if (has_params && has_any(folder, {consolidated, consolidated_archive})) {
    if (has_any(folder, {"consolidated.01.pth"})) {
      throw unsupported(folder + ": holds consolidated.01.pth, a model split over several machines; expected " +
                        consolidated_archive + " alone");
    }
    return {folder, mistral_config, one_of(folder, consolidated, consolidated_archive)};
  }
  if (has_config) {
    throw not_found(folder + ": holds " + hugging_face_config + " but neither " + one_file + " nor " + shard_index);
  }
  if (has_params) {
    throw not_found(folder + ": holds " + mistral_config + " but neither " + consolidated + " nor " +
                    consolidated_archive);
  }
  throw not_found(folder + ": holds neither " + hugging_face_config + " nor " + mistral_config +
                  "; expected a checkpoint");
}

bool is_checkpoint_folder(const std::string& folder) {
  return has_any(folder, {hugging_face_config, one_file, shard_index, consolidated, consolidated_archive});
}

Architecture read_architecture(const CheckpointFiles& files) {
  const std::string shown_as = join_path(files.folder, files.config);
  const Json config = parse_json(read_whole(resolve_inside(files.folder, files.config), largest_config), shown_as);
  if (!config.is_object()) throw invalid_file(shown_as + ": holds " + show(config) + "; expected an object");
  return files.config == mistral_config ? read_mistral_params(config, shown_as)
                                        : read_hugging_face_config(config, shown_as);
}

std::unique_ptr<TensorSource> open_checkpoint_tensors(const CheckpointFiles& files, bool map_files) {
  if (files.tensors == shard_index) return open_sharded_tensors(files.folder, files.tensors, map_files);
  const std::string shown_as = join_path(files.folder, files.tensors);
  const std::string path = resolve_inside(files.folder, files.tensors);
  if (files.tensors == consolidated_archive) return open_torch_archive(path, shown_as);
  return open_safetensors(path, shown_as, map_files);
}

Checkpoint open_checkpoint(const std::string& folder, bool map_files) {
  const CheckpointFiles files = find_checkpoint_files(folder);
  return {folder, read_architecture(files), open_checkpoint_tensors(files, map_files)};
}

void refuse_unknown_tensors(const Checkpoint& checkpoint) {
  const std::vector<Role> roles = roles_of(checkpoint.architecture);
  std::vector<std::string> unknown;
  for (const TensorEntry& entry : checkpoint.tensors->entries()) {
    if (role_of(roles, entry.name) == nullptr) unknown.push_back(entry.name);
  }
  if (unknown.empty()) return;
  const auto total = static_cast<int64_t>(unknown.size());
  throw invalid_file(
      checkpoint.tensors->path() + ": a " + checkpoint.architecture.family + " checkpoint has no use for " +
      (total == 1 ? "tensor " : std::to_string(total) + " of its tensors: ") + list_names(unknown, total));
}

}  // namespace moxie::checkpoint
