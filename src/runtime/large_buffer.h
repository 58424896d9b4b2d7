// Memory for weights: zero-filled, aligned, on huge pages where it is large and the system has them.
#pragma once

#include <cstddef>
#include <memory>

namespace moxie {

class LargeBuffer {
 public:
  LargeBuffer() = default;
  // A large buffer's pages are touched by nobody before the caller: the thread that first writes a page decides on
  // which memory node it lies. std::bad_alloc where there is no memory.
  explicit LargeBuffer(size_t bytes);

  [[nodiscard]] std::byte* data() { return memory_.get(); }
  [[nodiscard]] const std::byte* data() const { return memory_.get(); }

  static constexpr size_t alignment = 64;
  static constexpr size_t huge_page = size_t{2} << 20;  // from this size on, buffers lie on huge pages

 private:
  struct Free {
    Free() noexcept : mapped(0) {}
    explicit Free(size_t bytes) noexcept : mapped(bytes) {}
    size_t mapped;  // bytes to unmap; 0: from the heap
    void operator()(std::byte* memory) const;
  };
  std::unique_ptr<std::byte[], Free> memory_;
};

}  // namespace moxie
