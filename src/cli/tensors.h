// Tensors read whole through mox_file.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "cli/handles.h"

namespace moxie::cli {

struct Tensor {
  std::string name;
  mox_dtype dtype = MOX_F32;
  std::vector<int64_t> shape;
  std::vector<std::byte> bytes;

  int64_t count() const;
  bool is_integer() const;  // booleans count as integers

  std::vector<double> reals() const;      // of a floating-point tensor; exact
  std::vector<float> floats() const;      // the same, rounded where it is float64
  std::vector<int64_t> integers() const;  // of an integer tensor
};

// "[3, 11]"
std::string shape_text(const std::vector<int64_t>& shape);

class TensorFile {
 public:
  explicit TensorFile(const std::string& path);

  const std::string& path() const { return path_; }
  std::vector<std::string> names() const;
  bool has(const std::string& name) const;
  Tensor read(const std::string& name) const;

 private:
  std::string path_;
  File file_;
};

}  // namespace moxie::cli
