// How many threads a runtime has, and on which CPUs they run.
#pragma once

#include <sched.h>

#include <memory>
#include <string>
#include <vector>

#include "moxie/runtime.h"
#include "runtime/topology.h"

namespace moxie {

constexpr int most_threads = 1024;

// "none", "cores", "compact" (and "auto"); never NULL.
const char* affinity_name(mox_affinity affinity);

struct Placement {
  mox_affinity affinity = MOX_AFFINITY_NONE;  // as settled: never MOX_AFFINITY_AUTO
  int threads = 1;
  std::vector<int> cpus;  // that the threads may run on; bound one by one: thread i on cpus[i]
  bool confined = false;  // whether they are kept there at all
  int cores = 1;          // that those CPUs belong to
  int nodes = 1;          // NUMA nodes that those CPUs belong to

  [[nodiscard]] bool one_by_one() const { return affinity != MOX_AFFINITY_NONE; }
};

// What mox_runtime_options asks for, on that machine. cpus NULL: every CPU of the topology; threads 0: the default.
// Error where a CPU cannot be used, or where there are more threads than CPUs to bind them to.
Placement place(const Topology& topology, mox_affinity affinity, const char* cpus, int threads);

// Binds the calling thread, which is thread `index` of the team. Does nothing where nothing was asked for, or where the
// system has changed its mind since require_bindable.
void bind_thread(const Placement& placement, int index) noexcept;

// Error where the system does not let a thread run on one of the CPUs.
void require_bindable(const Placement& placement);

// For as long as it lives, the calling thread, and threads it starts, run where the placement's threads do: memory that
// they are the first to write to then lies near those. Afterwards it runs where it did before.
class NearPlacement {
 public:
  explicit NearPlacement(const Placement& placement) noexcept;
  ~NearPlacement();
  NearPlacement(const NearPlacement&) = delete;
  NearPlacement& operator=(const NearPlacement&) = delete;

 private:
  std::vector<int> before_;
};

}  // namespace moxie
