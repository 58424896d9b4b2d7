// Scratch memory of one call: grows with the batch that came, is kept and used again.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <memory_resource>
#include <vector>

#include "runtime/huge_memory.h"

namespace moxie {

// An arena. Everything taken is given back at once by reset(), after which the same batch takes no memory from the
// system. Only the thread that owns it takes (the executor's, for a call); tasks use what was taken for them. Chunks
// of 2 MiB and more are on huge pages: rows of a batch stand so far apart that on small ones each has a page of its
// own, and a tile of them more pages than a core remembers.
class Workspace final : public std::pmr::memory_resource {
 public:
  // smallest_chunk: bytes taken from the system at a time, at least.
  explicit Workspace(size_t smallest_chunk = huge_page) : smallest_chunk_(smallest_chunk) {}
  Workspace(const Workspace&) = delete;
  Workspace& operator=(const Workspace&) = delete;

  // Uninitialised, aligned to 64 bytes. Never NULL, also for a count of 0.
  template <typename T>
  T* take(int64_t count) {
    return static_cast<T*>(allocate(static_cast<size_t>(count > 0 ? count : 1) * sizeof(T), 64));
  }
  template <typename T>
  T* take_zeroed(int64_t count) {
    T* memory = take<T>(count);
    if (count > 0) std::memset(static_cast<void*>(memory), 0, static_cast<size_t>(count) * sizeof(T));
    return memory;
  }
  template <typename T>
  std::pmr::vector<T> list() {
    return std::pmr::vector<T>(this);
  }

  // Gives back what was taken since: for the layers of a model, which take the same one after another.
  struct Mark {
    size_t chunk, used;
  };
  [[nodiscard]] Mark mark() const { return {current_, used_}; }
  void release(Mark mark) {
    current_ = mark.chunk;
    used_ = mark.used;
  }

  void reset();
  [[nodiscard]] size_t bytes() const;

 private:
  struct Chunk {
    std::shared_ptr<std::byte> memory;
    size_t size;
  };
  void* do_allocate(size_t bytes, size_t alignment) override;
  void do_deallocate(void*, size_t, size_t) override {}
  [[nodiscard]] bool do_is_equal(const memory_resource& other) const noexcept override { return this == &other; }
  void add_chunk(size_t bytes);

  size_t smallest_chunk_;
  std::vector<Chunk> chunks_;
  size_t current_ = 0;
  size_t used_ = 0;
};

}  // namespace moxie
