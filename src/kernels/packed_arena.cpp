#include "kernels/packed_arena.h"

#include <limits>
#include <new>

namespace moxie::kernels {
namespace {

constexpr size_t section_alignment = 4096;

template <typename Byte>
void bind_all(const std::vector<PackedArena::Section>& sections, const std::shared_ptr<Byte>& memory) {
  for (const PackedArena::Section& section : sections) {
    *section.matrix = PackedMatrix(section.dtype, section.n, section.k, section.storage,
                                   std::shared_ptr<Byte>(memory, memory.get() + section.offset));
  }
}

}  // namespace

void PackedArena::add(PackedMatrix* matrix, DType dtype, int64_t n, int64_t k, Storage storage) {
  const size_t size = packed_bytes(dtype, n, k, storage);
  const size_t offset = (bytes_ + section_alignment - 1) / section_alignment * section_alignment;
  if (size > static_cast<size_t>(std::numeric_limits<int64_t>::max()) - offset) throw std::bad_alloc();
  sections_.push_back({matrix, dtype, n, k, storage, offset, size});
  bytes_ = offset + size;
}

void PackedArena::bind(const std::shared_ptr<std::byte>& memory) { bind_all(sections_, memory); }
void PackedArena::bind(const std::shared_ptr<const std::byte>& memory) { bind_all(sections_, memory); }

}  // namespace moxie::kernels
