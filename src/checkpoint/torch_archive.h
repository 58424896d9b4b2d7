// Tensors of a file written by torch.save: a zip archive without compression holding PREFIX/data.pkl and one
// PREFIX/data/KEY for each storage.
#pragma once

#include <memory>
#include <string>

#include "checkpoint/tensor_source.h"

namespace moxie::checkpoint {

// `shown_as` is what entries and messages call the file, `path` where it lies.
std::unique_ptr<TensorSource> open_torch_archive(const std::string& path);
std::unique_ptr<TensorSource> open_torch_archive(const std::string& path, const std::string& shown_as);

}  // namespace moxie::checkpoint
