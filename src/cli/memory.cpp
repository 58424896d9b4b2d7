#include "cli/memory.h"

#include <fstream>

#include "cli/failure.h"
#include "cli/table.h"

namespace moxie::cli {

int64_t available_memory() {
  std::ifstream file("/proc/meminfo");
  std::string word;
  while (file >> word) {
    int64_t kibibytes = 0;
    if (word == "MemAvailable:" && file >> kibibytes) return kibibytes * 1024;
  }
  return -1;
}

void require_memory(int64_t needed, const std::string& what) {
  const int64_t available = available_memory();
  if (available < 0 || needed <= available) return;
  throw Failure(what + " needs about " + bytes_text(static_cast<double>(needed)) + " of memory, and " +
                bytes_text(static_cast<double>(available)) + " are available; choose smaller sizes or fewer experts");
}

}  // namespace moxie::cli
