#include "cli/memory.h"

#include <fstream>

#include "cli/failure.h"
#include "cli/table.h"

namespace moxie::cli {
namespace {

// Of a line "KEY 123 kB".
int64_t bytes_after(const char* path, const std::string& key, int64_t otherwise) {
  std::ifstream file(path);
  std::string word;
  while (file >> word) {
    int64_t kibibytes = 0;
    if (word == key && file >> kibibytes) return kibibytes * 1024;
  }
  return otherwise;
}

}  // namespace

int64_t available_memory() { return bytes_after("/proc/meminfo", "MemAvailable:", -1); }

int64_t resident_memory() { return bytes_after("/proc/self/status", "VmRSS:", 0); }

void require_memory(int64_t needed, const std::string& what) {
  const int64_t available = available_memory();
  if (available < 0 || needed <= available) return;
  throw Failure(what + " needs about " + bytes_text(static_cast<double>(needed)) + " of memory, and " +
                bytes_text(static_cast<double>(available)) + " are available; choose smaller sizes or fewer experts");
}

}  // namespace moxie::cli
