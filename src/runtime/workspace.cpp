#include "runtime/workspace.h"

#include <algorithm>
#include <new>

namespace moxie {
namespace {

constexpr size_t alignment_of_chunks = 64;

}  // namespace

void Workspace::add_chunk(size_t bytes) {
  if (bytes >= huge_page) bytes = (bytes + huge_page - 1) / huge_page * huge_page;
  chunks_.reserve(chunks_.size() + 1);
  chunks_.push_back({zeroed_memory(bytes), bytes});
}

void* Workspace::do_allocate(size_t bytes, size_t alignment) {
  alignment = std::max(alignment, alignment_of_chunks);
  for (;;) {
    if (current_ < chunks_.size()) {
      const size_t begin = (used_ + alignment - 1) / alignment * alignment;
      if (begin <= chunks_[current_].size && bytes <= chunks_[current_].size - begin) {
        used_ = begin + bytes;
        return chunks_[current_].memory.get() + begin;
      }
      if (current_ + 1 < chunks_.size()) {
        ++current_;
        used_ = 0;
        continue;
      }
    }
    const size_t last = chunks_.empty() ? 0 : chunks_.back().size;
    add_chunk(std::max({smallest_chunk_, bytes + alignment, last}));
    current_ = chunks_.size() - 1;
    used_ = 0;
  }
}

void Workspace::reset() {
  current_ = 0;
  used_ = 0;
  if (chunks_.size() < 2) return;
  // One chunk that holds what several did: the same call next time walks straight through it.
  const size_t total = bytes();
  chunks_.clear();
  try {
    add_chunk(total);
  } catch (const std::bad_alloc&) {
    chunks_.clear();  // the next call takes what it needs, piece by piece
  }
}

size_t Workspace::bytes() const {
  size_t total = 0;
  for (const Chunk& chunk : chunks_) total += chunk.size;
  return total;
}

}  // namespace moxie
