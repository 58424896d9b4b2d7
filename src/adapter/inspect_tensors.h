// What can be said of an adapter's tensors without a base to lay them over.
#pragma once

#include <string>
#include <vector>

#include "adapter/adapter_config.h"
#include "checkpoint/tensor_source.h"

namespace moxie::adapter {

// Appends what opening the adapter would refuse over any base.
void inspect_tensors(const AdapterConfig& config, const checkpoint::TensorSource& tensors,
                     std::vector<std::string>* problems);

// Layers that have tensors.
int64_t count_layers(const AdapterConfig& config, const checkpoint::TensorSource& tensors);

}  // namespace moxie::adapter
