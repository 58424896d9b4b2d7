#include "runtime/cpu_list.h"

#include <charconv>
#include <set>

#include "runtime/error.h"

namespace moxie {
namespace {

constexpr int highest_cpu = 65535;

}  // namespace

std::vector<int> parse_cpu_list(const std::string& text, const std::string& what) {
  const auto refusal = [&] {
    return invalid_argument(what + " is '" + text + "'; expected CPUs and ranges of them from 0 to " +
                            std::to_string(highest_cpu) + ", like 0-15,32");
  };
  const auto named_twice = [&](int cpu) {
    return invalid_argument(what + " is '" + text + "'; it names CPU " + std::to_string(cpu) + " twice");
  };
  std::vector<int> cpus;
  std::set<int> seen;
  const char* at = text.data();
  const char* const end = at + text.size();
  const auto number = [&] {
    int value = 0;
    const auto [behind, failure] = std::from_chars(at, end, value);
    if (failure != std::errc() || *at == '-' || value > highest_cpu) throw refusal();
    at = behind;
    return value;
  };
  do {
    const int first = number();
    int last = first;
    if (at != end && *at == '-') {
      ++at;
      last = number();
    }
    if (last < first) throw refusal();
    for (int cpu = first; cpu <= last; ++cpu) {
      if (!seen.insert(cpu).second) {
        throw named_twice(cpu);
      }
      cpus.push_back(cpu);
    }
    if (at != end && *at != ',') throw refusal();
  } while (at++ != end);
  return cpus;
}

std::string cpu_list_text(const std::vector<int>& cpus) {
  std::string text;
  for (size_t i = 0; i < cpus.size();) {
    size_t last = i;
    while (last + 1 < cpus.size() && cpus[last + 1] == cpus[last] + 1) ++last;
    if (!text.empty()) text += ",";
    text += std::to_string(cpus[i]);
    if (last > i) text += "-" + std::to_string(cpus[last]);
    i = last + 1;
  }
  return text;
}

}  // namespace moxie
