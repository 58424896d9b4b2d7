// Tensors spread over several safetensors files, as an index says.
#pragma once

#include <memory>
#include <string>

#include "checkpoint/tensor_source.h"

namespace moxie::checkpoint {

// index: "model.safetensors.index.json". What the index says and what the files hold must be the same.
std::unique_ptr<TensorSource> open_sharded_tensors(const std::string& folder, const std::string& index, bool map);

}  // namespace moxie::checkpoint
