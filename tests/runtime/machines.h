// Machines made of files: /sys and /proc as Linux shows them, in a folder.
#pragma once

#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "runtime/cpu_list.h"

namespace moxie::test {

class Machine {
 public:
  Machine() {
    std::string pattern = (std::filesystem::temp_directory_path() / "moxie-machine-XXXXXX").string();
    root_ = mkdtemp(pattern.data());
  }
  ~Machine() {
    std::error_code ignored;
    std::filesystem::remove_all(root_, ignored);
  }
  Machine(const Machine&) = delete;
  Machine& operator=(const Machine&) = delete;

  [[nodiscard]] const std::string& root() const { return root_; }

  void file(const std::string& path, const std::string& text) const {
    const std::filesystem::path whole = root_ + path;
    std::filesystem::create_directories(whole.parent_path());
    std::ofstream(whole) << text << "\n";
  }

  // `threads` CPUs for each core, numbered as Linux does: first each core's first CPU, package by package, then the
  // second ones. One NUMA node for each package.
  void add(int packages, int cores, int threads) const {
    const int all = packages * cores;
    for (int package = 0; package < packages; ++package) {
      std::vector<int> of_package;
      for (int core = 0; core < cores; ++core) {
        std::vector<int> siblings;
        for (int thread = 0; thread < threads; ++thread) siblings.push_back(thread * all + package * cores + core);
        for (const int cpu : siblings) {
          const std::string folder = "/sys/devices/system/cpu/cpu" + std::to_string(cpu) + "/topology/";
          file(folder + "physical_package_id", std::to_string(package));
          file(folder + "core_id", std::to_string(core));
          file(folder + "thread_siblings_list", cpu_list_text(siblings));
          file(folder + "core_cpus_list", cpu_list_text(siblings));
          of_package.push_back(cpu);
        }
      }
      file("/sys/devices/system/node/node" + std::to_string(package) + "/cpulist", cpu_list_text(of_package));
    }
    file("/sys/devices/system/cpu/online", "0-" + std::to_string(all * threads - 1));
    file("/sys/devices/system/node/possible", "0-" + std::to_string(packages - 1));
  }

 private:
  std::string root_;
};

// 0 .. count - 1
inline std::vector<int> first_cpus(int count) {
  std::vector<int> cpus;
  for (int cpu = 0; cpu < count; ++cpu) cpus.push_back(cpu);
  return cpus;
}

}  // namespace moxie::test
