#include "runtime/topology.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <map>
#include <optional>
#include <set>
#include <sstream>
#include <tuple>

#include "runtime/cpu_list.h"
#include "runtime/error.h"

namespace moxie {
namespace {

std::optional<std::string> first_line(const std::string& path) {
  std::ifstream file(path);
  std::string line;
  if (!std::getline(file, line)) return {};
  return line;
}

std::optional<long> number_in(const std::string& path) {
  std::ifstream file(path);
  long value = 0;
  if (!(file >> value)) return {};
  return value;
}

std::optional<std::vector<int>> list_in(const std::string& path) {
  const auto line = first_line(path);
  if (!line) return {};
  try {
    return parse_cpu_list(*line, path);
  } catch (const Error&) {
    return {};
  }
}

// The lowest CPU of the core. Older systems have no list of siblings, but number cores within a package.
int core_of(const std::string& system, int cpu, std::map<std::pair<long, long>, int>* numbered) {
  const std::string folder = system + "/cpu/cpu" + std::to_string(cpu) + "/topology/";
  for (const char* name : {"core_cpus_list", "thread_siblings_list"}) {
    const auto siblings = list_in(folder + name);
    if (siblings) return *std::min_element(siblings->begin(), siblings->end());
  }
  const auto package = number_in(folder + "physical_package_id");
  const auto core = number_in(folder + "core_id");
  if (!package || !core) return cpu;
  return numbered->emplace(std::pair(*package, *core), cpu).first->second;
}

std::map<int, int> nodes_of_cpus(const std::string& system) {
  std::map<int, int> nodes;
  std::error_code failure;
  for (const auto& entry : std::filesystem::directory_iterator(system + "/node", failure)) {
    const std::string name = entry.path().filename();
    if (name.rfind("node", 0) != 0 || name.find_first_not_of("0123456789", 4) != std::string::npos) continue;
    const auto cpus = list_in(entry.path().string() + "/cpulist");
    if (!cpus || name.size() == 4) continue;
    for (const int cpu : *cpus) nodes[cpu] = std::stoi(name.substr(4));
  }
  return nodes;
}

// A limit and a period of the scheduler, in microseconds, as CPUs.
double cpus_of(double limit, double period) { return limit > 0 && period > 0 ? limit / period : 0; }

// Version 2: "max 100000", or "150000 100000".
double quota_v2(const std::string& folder) {
  std::ifstream file(folder + "/cpu.max");
  double limit = 0, period = 0;
  if (!(file >> limit >> period)) return 0;
  return cpus_of(limit, period);
}

double quota_v1(const std::string& folder) {
  const auto limit = number_in(folder + "/cpu.cfs_quota_us");
  const auto period = number_in(folder + "/cpu.cfs_period_us");
  return limit && period ? cpus_of(static_cast<double>(*limit), static_cast<double>(*period)) : 0;
}

// The least of a group and the groups it lies in. In a container the path may be the host's: what is not there is
// passed over, up to the top, which is the container's own.
template <typename Quota>
void take_least(const std::string& mount, std::string path, Quota&& quota_of, double* least) {
  for (;;) {
    const double quota = quota_of(mount + path);
    if (quota > 0 && (*least == 0 || quota < *least)) *least = quota;
    const size_t slash = path.find_last_of('/');
    if (path.empty() || slash == std::string::npos) return;
    path.resize(slash);
  }
}

// Lines of /proc/self/cgroup: "0::/user.slice" (version 2), "4:cpu,cpuacct:/docker/1f" (version 1).
double quota_of_process(const std::string& root) {
  double least = 0;
  const std::string mount = root + "/sys/fs/cgroup";
  std::ifstream file(root + "/proc/self/cgroup");
  for (std::string line; std::getline(file, line);) {
    const size_t first = line.find(':');
    const size_t second = first == std::string::npos ? first : line.find(':', first + 1);
    if (second == std::string::npos) continue;
    const std::string controllers = line.substr(first + 1, second - first - 1);
    const std::string path = line.substr(second + 1);
    if (controllers.empty()) {
      take_least(mount, path, quota_v2, &least);
      take_least(mount + "/unified", path, quota_v2, &least);
      continue;
    }
    const std::string joined = mount + "/" + controllers;
    std::istringstream names(controllers);
    for (std::string name; std::getline(names, name, ',');) {
      if (name != "cpu") continue;
      take_least(mount + "/cpu", path, quota_v1, &least);
      if (controllers != "cpu") take_least(joined, path, quota_v1, &least);
    }
  }
  return least;
}

}  // namespace

const Cpu* Topology::find(int id) const {
  const auto found = std::find_if(cpus.begin(), cpus.end(), [id](const Cpu& cpu) { return cpu.id == id; });
  return found == cpus.end() ? nullptr : &*found;
}

Topology read_topology(const std::string& root, std::span<const int> allowed) {
  const std::string system = root + "/sys/devices/system";
  const auto online = list_in(system + "/cpu/online");
  const std::map<int, int> nodes = nodes_of_cpus(system);
  std::map<std::pair<long, long>, int> numbered;
  Topology topology;
  for (const int id : allowed) {
    if (online && std::find(online->begin(), online->end(), id) == online->end()) continue;
    const auto node = nodes.find(id);
    topology.cpus.push_back({id, core_of(system, id, &numbered), node == nodes.end() ? 0 : node->second});
  }
  std::sort(topology.cpus.begin(), topology.cpus.end(), [](const Cpu& a, const Cpu& b) {
    return std::tuple(a.node, a.core, a.id) < std::tuple(b.node, b.core, b.id);
  });
  topology.quota = quota_of_process(root);
  return topology;
}

int count_cores(std::span<const Cpu> cpus) {
  std::set<int> cores;
  for (const Cpu& cpu : cpus) cores.insert(cpu.core);
  return static_cast<int>(cores.size());
}

int count_nodes(std::span<const Cpu> cpus) {
  std::set<int> nodes;
  for (const Cpu& cpu : cpus) nodes.insert(cpu.node);
  return static_cast<int>(nodes.size());
}

}  // namespace moxie
