#include "runtime/huge_memory.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <new>

namespace moxie {
namespace {

size_t round_up(size_t bytes, size_t unit) { return (bytes + unit - 1) / unit * unit; }

// A last huge page that is filled in part is worth its rest while that is little beside all of the memory.
size_t mapped_size(size_t bytes) {
  const size_t whole = round_up(bytes, huge_page);
  return whole - bytes <= bytes / 8 ? whole : round_up(bytes, static_cast<size_t>(sysconf(_SC_PAGESIZE)));
}

}  // namespace

std::shared_ptr<std::byte> huge_memory(size_t bytes) {
  if (bytes > std::numeric_limits<size_t>::max() - 2 * huge_page) throw std::bad_alloc();
  const size_t size = mapped_size(bytes);
  const size_t reserved = size + huge_page;
  void* base = mmap(nullptr, reserved, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (base == MAP_FAILED) throw std::bad_alloc();
  // Unused head and tail go back at once: what remains is exactly [aligned, aligned + size).
  const auto begin = reinterpret_cast<uintptr_t>(base);
  const uintptr_t aligned = round_up(begin, huge_page);
  const size_t head = aligned - begin;
  const size_t tail = reserved - head - size;
  if (head != 0) munmap(base, head);
  if (tail != 0) munmap(reinterpret_cast<void*>(aligned + size), tail);
  auto* memory = reinterpret_cast<std::byte*>(aligned);
  // A kernel without transparent huge pages refuses: small pages then serve, only slower.
  if (size != 0) (void)madvise(memory, size, MADV_HUGEPAGE);
  return {memory, [size](std::byte* mapped) {
            if (size != 0) munmap(mapped, size);
          }};
}

std::shared_ptr<std::byte> zeroed_memory(size_t bytes) {
  if (bytes >= huge_page) return huge_memory(bytes);
  constexpr size_t cache_line = 64;
  const size_t rounded = (bytes + cache_line - 1) / cache_line * cache_line;
  auto* memory = static_cast<std::byte*>(std::aligned_alloc(cache_line, rounded));
  if (memory == nullptr && rounded != 0) throw std::bad_alloc();
  if (rounded != 0) std::memset(memory, 0, rounded);
  return {memory, [](std::byte* own) { std::free(own); }};
}

}  // namespace moxie
