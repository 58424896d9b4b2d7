// Tensors of one .safetensors file: header length (8 bytes, little endian), JSON header, data.
#pragma once

#include <memory>
#include <string>

#include "checkpoint/tensor_source.h"

namespace moxie::checkpoint {

constexpr int64_t largest_safetensors_header = 100'000'000;

// `shown_as` is what entries and messages call the file, `path` where it lies. map: mmap instead of pread.
std::unique_ptr<TensorSource> open_safetensors(const std::string& path, bool map = false);
std::unique_ptr<TensorSource> open_safetensors(const std::string& path, const std::string& shown_as, bool map);

}  // namespace moxie::checkpoint
