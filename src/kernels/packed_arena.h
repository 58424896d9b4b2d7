// Many packed matrices in one piece of memory: the linears of a model, side by side on huge pages.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "kernels/packed_matrix.h"

namespace moxie::kernels {

class PackedArena {
 public:
  struct Section {
    PackedMatrix* matrix;
    DType dtype;
    int64_t n, k;
    Storage storage;
    size_t offset;  // a multiple of 4096
    size_t bytes;
  };

  // Keeps room. `matrix` must stay where it is until bind(), which fills it in.
  void add(PackedMatrix* matrix, DType dtype, int64_t n, int64_t k, Storage storage = Storage::kPlain);

  [[nodiscard]] const std::vector<Section>& sections() const { return sections_; }
  [[nodiscard]] size_t bytes() const { return bytes_; }

  // From here on the matrices lie in this memory: bytes() bytes, at a multiple of 64. Each of them keeps it alive.
  void bind(const std::shared_ptr<std::byte>& memory);
  void bind(const std::shared_ptr<const std::byte>& memory);

 private:
  std::vector<Section> sections_;
  size_t bytes_ = 0;
};

}  // namespace moxie::kernels
