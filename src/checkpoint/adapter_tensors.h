// The tensors of an adapter folder.
#pragma once

#include <memory>
#include <string>

#include "checkpoint/tensor_source.h"

namespace moxie::checkpoint {

// Of adapter_model.safetensors, adapter_model.bin (a torch archive) or mistral's lora.safetensors, whichever is there.
// More than one of them is an error, none is MOX_NOT_FOUND.
std::unique_ptr<TensorSource> open_adapter_tensors(const std::string& folder);

// Whether the folder looks like an adapter's: it has an adapter_config.json, or a lora.safetensors without a base's
// tensors beside it.
bool is_adapter_folder(const std::string& folder);

}  // namespace moxie::checkpoint
