#include "cli/bench/caches.h"

#include <algorithm>
#include <fstream>
#include <set>
#include <string>

namespace moxie::cli::bench {
namespace {

std::string word_in(const std::string& path) {
  std::ifstream file(path);
  std::string word;
  file >> word;
  return word;
}

// "1024K" -> 1048576
int64_t bytes_of(const std::string& text) {
  int64_t value = 0;
  size_t at = 0;
  for (; at < text.size() && text[at] >= '0' && text[at] <= '9' && value < (int64_t{1} << 40); ++at) {
    value = value * 10 + (text[at] - '0');
  }
  if (at < text.size() && text[at] == 'K') return value << 10;
  if (at < text.size() && text[at] == 'M') return value << 20;
  return value;
}

Caches describe_caches() {
  Caches found;
  std::set<std::string> seen;  // a cache appears under each processor that shares it
  for (int cpu = 0; cpu < 4096; ++cpu) {
    for (int index = 0; index < 8; ++index) {
      const auto folder =
          "/sys/devices/system/cpu/cpu" + std::to_string(cpu) + "/cache/index" + std::to_string(index) + "/";
      const auto level = word_in(folder + "level");
      if (level.empty()) break;
      if (word_in(folder + "type") == "Instruction") continue;
      const int64_t bytes = bytes_of(word_in(folder + "size"));
      if (level == "1") found.l1 = std::max(found.l1, bytes);
      if (level == "2") found.l2 = std::max(found.l2, bytes);
      if (level != "1" && seen.insert(level + ":" + word_in(folder + "shared_cpu_list")).second) found.total += bytes;
    }
  }
  if (found.l1 == 0) found.l1 = int64_t{32} << 10;
  if (found.l2 == 0) found.l2 = int64_t{1} << 20;
  if (found.total == 0) found.total = int64_t{64} << 20;
  return found;
}

}  // namespace

const Caches& caches() {
  static const Caches found = describe_caches();
  return found;
}

}  // namespace moxie::cli::bench
