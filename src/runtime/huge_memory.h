// Large memory that every call reads, so on 2 MiB pages.
#pragma once

#include <cstddef>
#include <memory>

namespace moxie {

constexpr size_t huge_page = size_t{2} << 20;

// At least `bytes` bytes at a multiple of 2 MiB, on huge pages where the system gives them. Zero, and not yet touched:
// whoever writes a page first gives it its memory node. std::bad_alloc where there is no room.
std::shared_ptr<std::byte> huge_memory(size_t bytes);

// Zeroed bytes at a multiple of 64: from 2 MiB on huge_memory(), below that from the heap.
std::shared_ptr<std::byte> zeroed_memory(size_t bytes);

}  // namespace moxie
