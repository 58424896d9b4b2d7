#include "cli/bench/pages.h"

#include <sys/mman.h>

#include <cinttypes>
#include <cstdio>
#include <fstream>
#include <new>
#include <string>

namespace moxie::cli::bench {
namespace {

constexpr int64_t kHugePage = int64_t{2} << 20;

}  // namespace

const char* name_of(PageKind kind) { return kind == PageKind::kHuge ? "2 MiB" : "4 KiB"; }

Pages::Pages(int64_t bytes, PageKind kind) : bytes_((bytes + kHugePage - 1) / kHugePage * kHugePage) {
  const auto reserved = static_cast<size_t>(bytes_ + kHugePage);
  void* base = mmap(nullptr, reserved, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (base == MAP_FAILED) throw std::bad_alloc();
  // What remains is aligned, and a mapping of its own.
  auto* begin = static_cast<char*>(base);
  const auto past = static_cast<int64_t>(reinterpret_cast<uintptr_t>(base) % static_cast<uintptr_t>(kHugePage));
  const int64_t head = past == 0 ? 0 : kHugePage - past;
  if (head > 0) munmap(begin, static_cast<size_t>(head));
  if (kHugePage - head > 0) munmap(begin + head + bytes_, static_cast<size_t>(kHugePage - head));
  data_ = begin + head;
  // A system without such pages refuses; huge_bytes() then says so.
  (void)madvise(data_, static_cast<size_t>(bytes_), kind == PageKind::kHuge ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
}

Pages::~Pages() { munmap(data_, static_cast<size_t>(bytes_)); }

int64_t Pages::huge_bytes() const {
  std::ifstream file("/proc/self/smaps");
  const auto first = reinterpret_cast<uintptr_t>(data_);
  const auto last = first + static_cast<uintptr_t>(bytes_);
  bool inside = false, found = false;
  int64_t total = 0;
  for (std::string line; std::getline(file, line);) {
    uintptr_t begin = 0, end = 0;
    long long kibibytes = 0;
    if (std::sscanf(line.c_str(), "%" SCNxPTR "-%" SCNxPTR " ", &begin, &end) == 2) {  // NOLINT(cert-err34-c)
      inside = begin >= first && end <= last;
    } else if (inside && std::sscanf(line.c_str(), "AnonHugePages: %lld", &kibibytes) == 1) {  // NOLINT(cert-err34-c)
      total += kibibytes * 1024;
      found = true;
    }
  }
  return found ? total : -1;
}

}  // namespace moxie::cli::bench
