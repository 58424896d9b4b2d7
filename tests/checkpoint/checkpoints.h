// Small whole checkpoints for the tests to break.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "checkpoint/support.h"

namespace moxie::test {

using Tensors = std::vector<std::pair<std::string, std::vector<int64_t>>>;

// hidden 8, ffn 12, 1 layer, 2 heads of 4, vocabulary 5.
std::string llama_config(const std::string& more = "");
Tensors llama_tensors();
std::string mistral_params(const std::string& more = "");
Tensors mistral_tensors();

// A torch archive under these names, every byte of data `fill`.
std::string write_zero_archive(const TemporaryFolder& folder, const Tensors& tensors, const std::string& name,
                               char fill = '\0');

}  // namespace moxie::test
