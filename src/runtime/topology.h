// Which CPUs there are to use, which of them share a core, and where memory is near to them.
#pragma once

#include <span>
#include <string>
#include <vector>

namespace moxie {

struct Cpu {
  int id = 0;
  int core = 0;  // CPUs of one core share it: its lowest CPU
  int node = 0;  // NUMA node
};

struct Topology {
  std::vector<Cpu> cpus;  // node by node, in it core by core
  double quota = 0;       // CPUs' worth of time the process may use (cgroup, versions 1 and 2); 0: no limit

  [[nodiscard]] const Cpu* find(int id) const;
};

// From /sys/devices/system and the process's cgroup under `root` ("" for the machine itself). allowed: CPUs this
// process may run on; those offline are left out. Files that are missing or make no sense are as good as absent: every
// CPU is then a core of its own, all on node 0, without a quota.
Topology read_topology(const std::string& root, std::span<const int> allowed);

// CPUs that share no core.
int count_cores(std::span<const Cpu> cpus);
int count_nodes(std::span<const Cpu> cpus);

}  // namespace moxie
