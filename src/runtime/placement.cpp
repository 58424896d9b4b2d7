#include "runtime/placement.h"

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstring>
#include <set>
#include <system_error>
#include <thread>

#include "runtime/cpu.h"
#include "runtime/cpu_list.h"
#include "runtime/error.h"

namespace moxie {
namespace {

// The CPUs of the list, or all, in that order.
std::vector<Cpu> candidates(const Topology& topology, const char* list) {
  if (list == nullptr) return topology.cpus;
  std::vector<Cpu> cpus;
  for (const int id : parse_cpu_list(list, "cpus")) {
    const Cpu* cpu = topology.find(id);
    if (cpu == nullptr) {
      std::vector<int> usable;
      for (const Cpu& one : topology.cpus) usable.push_back(one.id);
      std::sort(usable.begin(), usable.end());
      throw invalid_argument("cpus is '" + std::string(list) + "'; CPU " + std::to_string(id) +
                             " is not among those this process may run on: " + cpu_list_text(usable));
    }
    cpus.push_back(*cpu);
  }
  return cpus;
}

// One CPU of each core.
std::vector<Cpu> without_siblings(const std::vector<Cpu>& cpus) {
  std::vector<Cpu> result;
  std::set<int> cores;
  for (const Cpu& cpu : cpus) {
    if (cores.insert(cpu.core).second) result.push_back(cpu);
  }
  return result;
}

// A quota of 1.5 CPUs makes one thread: two would use it up early in each of the scheduler's periods, and then both
// stand still until the next.
int within_quota(int threads, double quota) {
  if (quota > 0) threads = std::min(threads, std::max(1, static_cast<int>(std::floor(quota))));
  return std::clamp(threads, 1, most_threads);
}

bool set_affinity(const std::vector<int>& cpus) {
  if (cpus.empty()) return false;
  const int capacity = *std::max_element(cpus.begin(), cpus.end()) + 1;
  cpu_set_t* set = CPU_ALLOC(capacity);
  if (set == nullptr) return false;
  const size_t bytes = CPU_ALLOC_SIZE(capacity);
  CPU_ZERO_S(bytes, set);
  for (const int cpu : cpus) CPU_SET_S(static_cast<size_t>(cpu), bytes, set);
  const bool done = sched_setaffinity(0, bytes, set) == 0;
  const int reason = errno;
  CPU_FREE(set);
  errno = reason;
  return done;
}

}  // namespace

const char* affinity_name(mox_affinity affinity) {
  switch (affinity) {
    case MOX_AFFINITY_AUTO:
      return "auto";
    case MOX_AFFINITY_NONE:
      return "none";
    case MOX_AFFINITY_CORES:
      return "cores";
    case MOX_AFFINITY_COMPACT:
      return "compact";
  }
  return "unknown";
}

Placement place(const Topology& topology, mox_affinity affinity, const char* cpus, int threads) {
  Placement placement;
  placement.affinity = affinity;
  if (affinity == MOX_AFFINITY_AUTO) placement.affinity = cpus == nullptr ? MOX_AFFINITY_NONE : MOX_AFFINITY_COMPACT;
  std::vector<Cpu> chosen = candidates(topology, cpus);
  if (placement.affinity == MOX_AFFINITY_CORES) chosen = without_siblings(chosen);
  const int by_default =
      placement.affinity == MOX_AFFINITY_COMPACT ? static_cast<int>(chosen.size()) : count_cores(chosen);
  placement.threads = threads > 0 ? threads : within_quota(by_default, topology.quota);
  placement.confined = placement.one_by_one() || cpus != nullptr;
  if (placement.one_by_one()) {
    if (placement.threads > static_cast<int>(chosen.size())) {
      throw invalid_argument("threads is " + std::to_string(placement.threads) + ", but affinity " +
                             affinity_name(placement.affinity) + " gives each a " +
                             (placement.affinity == MOX_AFFINITY_CORES ? "core" : "CPU") + " of its own, and there " +
                             (chosen.size() == 1 ? "is 1" : "are " + std::to_string(chosen.size())));
    }
    chosen.resize(static_cast<size_t>(placement.threads));
  }
  for (const Cpu& cpu : chosen) placement.cpus.push_back(cpu.id);
  if (!placement.one_by_one()) std::sort(placement.cpus.begin(), placement.cpus.end());
  placement.cores = count_cores(chosen);
  placement.nodes = count_nodes(chosen);
  return placement;
}

void bind_thread(const Placement& placement, int index) noexcept {
  if (!placement.confined) return;
  try {
    if (placement.one_by_one()) {
      set_affinity({placement.cpus[static_cast<size_t>(index)]});
    } else {
      set_affinity(placement.cpus);
    }
  } catch (const std::bad_alloc&) {
    // it runs where it was, then
  }
}

void require_bindable(const Placement& placement) {
  if (!placement.confined) return;
  std::string failure;
  const auto attempt = [&] {
    for (const int cpu : placement.cpus) {
      if (set_affinity({cpu})) continue;
      failure = "CPU " + std::to_string(cpu) + " cannot be used: " + std::strerror(errno);
      return;
    }
  };
  try {
    std::thread(attempt).join();
  } catch (const std::system_error&) {
    return;  // the executor says what is wrong with threads
  }
  if (!failure.empty()) throw invalid_argument(failure);
}

NearPlacement::NearPlacement(const Placement& placement) noexcept {
  if (!placement.confined) return;
  try {
    before_ = allowed_cpus();
    set_affinity(placement.cpus);
  } catch (const std::bad_alloc&) {
    before_.clear();
  }
}

NearPlacement::~NearPlacement() {
  if (!before_.empty()) set_affinity(before_);
}

}  // namespace moxie
