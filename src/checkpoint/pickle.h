// The few pickle instructions torch.save needs for a dictionary of tensors. Nothing is looked up, called or executed:
// the instructions build a description of the tensors, and whatever is not part of one is refused by name.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/dtype.h"

namespace moxie::checkpoint {

// A tensor as the pickle describes it: a view of a storage, in elements. Not yet checked against the storage's file.
struct PickledTensor {
  std::string name;
  std::string storage;  // key of the storage: the file data/KEY of the archive
  DType dtype = MOX_F32;
  int64_t storage_elements = 0;
  int64_t offset = 0;
  std::vector<int64_t> shape;
  std::vector<int64_t> stride;
};

// The tensors of a pickled dictionary, in its order. `place` is for messages ("adapter_model.bin: data.pkl").
// Names are checked to be unique and printable, dimensions to be at most eight.
std::vector<PickledTensor> unpickle_tensors(std::string_view bytes, const std::string& place);

}  // namespace moxie::checkpoint
