// A base model's folder: its configuration and its tensors, checked before anything is loaded.
#pragma once

#include <memory>
#include <string>

#include "checkpoint/architecture.h"
#include "checkpoint/tensor_source.h"

namespace moxie::checkpoint {

struct Checkpoint {
  std::string folder;
  Architecture architecture;
  std::unique_ptr<TensorSource> tensors;
};

// The files of a folder that belong together, found by their names and not yet read.
struct CheckpointFiles {
  std::string folder;
  std::string config;   // "config.json" or "params.json"
  std::string tensors;  // "model.safetensors", its index, "consolidated.safetensors" or "consolidated.00.pth"
};

// MOX_NOT_FOUND where there is no such folder, or none of those files in it.
CheckpointFiles find_checkpoint_files(const std::string& folder);

// Whether the folder holds a configuration or tensors under a checkpoint's names.
bool is_checkpoint_folder(const std::string& folder);

// The two halves of open_checkpoint.
Architecture read_architecture(const CheckpointFiles& files);
std::unique_ptr<TensorSource> open_checkpoint_tensors(const CheckpointFiles& files, bool map_files);

// Error (file, tensor, value, what was expected) where anything is wrong with the configuration or the files'
// structure. map_files: mmap instead of pread.
Checkpoint open_checkpoint(const std::string& folder, bool map_files);

// Refuses tensors that no role of the architecture explains (with any layer or expert in range). Does not ask that all
// are there. Tied embeddings may store their copy of the head.
void refuse_unknown_tensors(const Checkpoint& checkpoint);

}  // namespace moxie::checkpoint
