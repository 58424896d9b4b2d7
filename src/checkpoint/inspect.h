// A path looked at without loading it: what it is, what it holds, and why it would be refused.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "checkpoint/checkpoint.h"
#include "checkpoint/tensor_source.h"

namespace moxie::checkpoint {

using Settings = std::vector<std::pair<std::string, std::string>>;

struct Inspection {
  std::string family;
  std::string format;
  Settings settings;
  std::vector<std::string> problems;
  std::unique_ptr<TensorSource> tensors;  // NULL where they cannot be read: one of the problems
};

// A checkpoint folder. Throws only where it is none.
Inspection inspect_checkpoint(const std::string& folder);

// One .safetensors or torch archive file. Throws where it cannot be read.
Inspection inspect_tensor_file(const std::string& path);

// How many tensors there are of each dtype: "12 bfloat16, 1 float32".
std::string dtype_counts(const TensorSource& tensors);

}  // namespace moxie::checkpoint
