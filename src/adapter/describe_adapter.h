// What an adapter folder is, without a base to lay it over.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "checkpoint/tensor_source.h"

namespace moxie::adapter {

struct AdapterDescription {
  std::string kind;    // "lora", "mixlora", "mixlora-dynamic", ...; "" where the configuration does not say
  std::string format;  // "MoE-PEFT", "PEFT" or "mistral"
  std::vector<std::pair<std::string, std::string>> settings;
  std::vector<std::string> problems;  // what opening it would refuse, as it would say it
};

// tensors: those of the folder, or NULL where they could not be read (a problem of its own, reported by the caller).
AdapterDescription describe_adapter(const std::string& folder, const checkpoint::TensorSource* tensors);

}  // namespace moxie::adapter
