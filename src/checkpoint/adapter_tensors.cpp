#include "checkpoint/adapter_tensors.h"

#include <array>
#include <vector>

#include "checkpoint/checkpoint.h"
#include "checkpoint/file_access.h"
#include "checkpoint/safetensors.h"
#include "checkpoint/text.h"
#include "checkpoint/torch_archive.h"
#include "runtime/error.h"

namespace moxie::checkpoint {
namespace {

constexpr std::array<const char*, 3> tensor_files = {"adapter_model.safetensors", "adapter_model.bin",
                                                     "lora.safetensors"};

}  // namespace

std::unique_ptr<TensorSource> open_adapter_tensors(const std::string& folder) {
  require_folder(folder);
  std::vector<std::string> found;
  for (const char* name : tensor_files) {
    if (is_present(join_path(folder, name))) found.emplace_back(name);
  }
  if (found.empty()) {
    throw not_found(folder + ": holds no adapter tensors; expected adapter_model.safetensors, adapter_model.bin or " +
                    "lora.safetensors");
  }
  if (found.size() > 1) {
    throw invalid_file(folder + ": holds both " + found[0] + " and " + found[1] + "; expected one of them");
  }
  const std::string shown_as = join_path(folder, found[0]);
  const std::string path = resolve_inside(folder, found[0]);
  if (found[0] == "adapter_model.bin") return open_torch_archive(path, shown_as);
  return open_safetensors(path, shown_as, false);
}

bool is_adapter_folder(const std::string& folder) {
  if (is_present(join_path(folder, "adapter_config.json"))) return true;
  return is_present(join_path(folder, "lora.safetensors")) && !is_checkpoint_folder(folder);
}

}  // namespace moxie::checkpoint
