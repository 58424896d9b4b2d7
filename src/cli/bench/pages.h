// Memory from the system, on large pages or on ordinary ones.
#pragma once

#include <cstddef>
#include <cstdint>

namespace moxie::cli::bench {

enum class PageKind { kHuge, kOrdinary };  // 2 MiB by madvise; 4 KiB

const char* name_of(PageKind kind);

// Zeroed when touched first, and on the memory node of the thread that does so.
class Pages {
 public:
  Pages(int64_t bytes, PageKind kind);
  ~Pages();
  Pages(const Pages&) = delete;
  Pages& operator=(const Pages&) = delete;

  char* data() const { return data_; }
  int64_t bytes() const { return bytes_; }

  // How much of it the system holds in 2 MiB pages; -1 where it does not say.
  int64_t huge_bytes() const;

 private:
  char* data_ = nullptr;
  int64_t bytes_ = 0;
};

}  // namespace moxie::cli::bench
