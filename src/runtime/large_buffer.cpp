#include "runtime/large_buffer.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <new>

namespace moxie {
namespace {

// Pages come zeroed from the system when they are first touched. Unused head and tail go back at once: what remains is
// exactly [aligned, aligned + size).
std::byte* map_huge(size_t size) {
  const size_t reserved = size + LargeBuffer::huge_page;
  void* base = mmap(nullptr, reserved, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (base == MAP_FAILED) throw std::bad_alloc();
  const auto begin = reinterpret_cast<uintptr_t>(base);
  const uintptr_t aligned = (begin + LargeBuffer::huge_page - 1) / LargeBuffer::huge_page * LargeBuffer::huge_page;
  const size_t head = aligned - begin;
  const size_t tail = reserved - head - size;
  if (head != 0) munmap(base, head);
  if (tail != 0) munmap(reinterpret_cast<void*>(aligned + size), tail);
  auto* memory = reinterpret_cast<std::byte*>(aligned);
  // A kernel without transparent huge pages refuses: small pages then serve, only slower.
  (void)madvise(memory, size, MADV_HUGEPAGE);
  return memory;
}

size_t round_up(size_t size, size_t step) { return (size + step - 1) / step * step; }

}  // namespace

void LargeBuffer::Free::operator()(std::byte* memory) const {
  if (mapped != 0) {
    munmap(memory, mapped);
  } else {
    std::free(memory);
  }
}

LargeBuffer::LargeBuffer(size_t bytes) {
  if (bytes == 0) return;
  if (bytes > std::numeric_limits<size_t>::max() / 2) throw std::bad_alloc();
  if (bytes >= huge_page) {
    const size_t mapped = round_up(bytes, static_cast<size_t>(sysconf(_SC_PAGESIZE)));
    memory_ = {map_huge(mapped), Free{mapped}};
    return;
  }
  const size_t rounded = round_up(bytes, alignment);
  auto* memory = static_cast<std::byte*>(std::aligned_alloc(alignment, rounded));
  if (memory == nullptr) throw std::bad_alloc();
  memory_ = {memory, Free{}};
  std::memset(memory, 0, rounded);
}

}  // namespace moxie
