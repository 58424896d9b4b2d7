// Named tensors somewhere in files. The one interface through which models and adapters read weights.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/dtype.h"

namespace moxie::checkpoint {

struct TensorEntry {
  std::string name;
  std::string file;  // relative to the folder, for messages
  DType dtype = MOX_F32;
  std::vector<int64_t> shape;
  int64_t bytes = 0;  // shape x element size, already checked against the file

  [[nodiscard]] int64_t elements() const;
  [[nodiscard]] std::string describe() const;  // "float32 [4, 48]"
};

// What tells one state of a file from another without reading all of it.
struct SourceFile {
  std::string name;  // relative to the folder
  int64_t size = 0;
  int64_t modified_ns = 0;   // at this moment, not when it was opened
  uint64_t header_hash = 0;  // XXH3 of what the file says about its tensors
  // Whether header_hash covers checksums of all data.
  bool data_hashed = false;
};

// Implemented by safetensors files, torch archives and checkpoint folders. Reading is const and may be done
// from several threads at once.
class TensorSource {
 public:
  virtual ~TensorSource() = default;

  // Sorted by name.
  [[nodiscard]] virtual const std::vector<TensorEntry>& entries() const = 0;

  // Copies `count` elements from element `first` of the tensor (row-major, whatever its strides in the file),
  // as stored. `entry` is an index into entries().
  virtual void read(size_t entry, int64_t first, int64_t count, void* destination) const = 0;

  // Where the files lie, for messages.
  [[nodiscard]] virtual const std::string& path() const = 0;

  // The files the tensors come from, as they are now.
  [[nodiscard]] virtual std::vector<SourceFile> files() const = 0;

  // Index into entries(), or -1.
  [[nodiscard]] int64_t find(std::string_view name) const;
};

// A reader that remembers what was asked for, so that what nobody asked for can be refused.
class TensorReader {
 public:
  explicit TensorReader(const TensorSource& source);

  [[nodiscard]] const TensorSource& source() const { return *source_; }
  [[nodiscard]] bool has(std::string_view name) const;

  // The tensor of that name with exactly that shape; Error naming file, tensor, both shapes otherwise. Marks it used.
  const TensorEntry& require(std::string_view name, const std::vector<int64_t>& shape);

  // Marks a tensor as known without reading it (other layers, harmless buffers). Returns whether it was there.
  bool pass_over(std::string_view name);

  // Whole tensor widened to float32. float32, bfloat16 and float16 only: other dtypes are refused by name.
  std::vector<float> read_float32(std::string_view name, const std::vector<int64_t>& shape);

  // Rows [first, first + count) of a matrix, as stored. The entry must come from require().
  void read_rows(const TensorEntry& entry, int64_t first, int64_t count, void* destination) const;

  // Error listing (up to eight of) the tensors nobody used; `whose` says of what ("adapter", "checkpoint").
  void refuse_unused(const std::string& whose) const;

 private:
  const TensorSource* source_;
  std::vector<bool> used_;
};

// True for the dtypes weights may have.
bool is_weight_dtype(DType dtype);

// "FILE: tensor NAME", as messages begin.
std::string tensor_place(const TensorSource& source, const TensorEntry& entry);

}  // namespace moxie::checkpoint
