#include "runtime/topology.h"

#include <gmock/gmock.h>

#include <algorithm>

#include "machines.h"
#include "runtime/cpu.h"

namespace moxie {
namespace {

using test::first_cpus;
using test::Machine;
using testing::ElementsAre;

std::vector<int> ids(const Topology& topology) {
  std::vector<int> result;
  for (const Cpu& cpu : topology.cpus) result.push_back(cpu.id);
  return result;
}

TEST(Topology, TwoSocketsWithTwoThreadsPerCore) {
  const Machine machine;
  machine.add(2, 3, 2);
  const Topology topology = read_topology(machine.root(), first_cpus(12));
  EXPECT_THAT(ids(topology), ElementsAre(0, 6, 1, 7, 2, 8, 3, 9, 4, 10, 5, 11));
  EXPECT_EQ(count_cores(topology.cpus), 6);
  EXPECT_EQ(count_nodes(topology.cpus), 2);
  ASSERT_NE(topology.find(9), nullptr);
  EXPECT_EQ(topology.find(9)->core, 3);
  EXPECT_EQ(topology.find(9)->node, 1);
  EXPECT_EQ(topology.find(12), nullptr);
  EXPECT_EQ(topology.quota, 0);
}

TEST(Topology, KeepsToWhatIsAllowedAndOnline) {
  const Machine machine;
  machine.add(1, 4, 2);
  EXPECT_THAT(ids(read_topology(machine.root(), std::vector<int>{1, 5, 6})), ElementsAre(1, 5, 6));
  EXPECT_EQ(count_cores(read_topology(machine.root(), std::vector<int>{1, 5, 6}).cpus), 2);
  machine.file("/sys/devices/system/cpu/online", "0-2,4-6");
  EXPECT_THAT(ids(read_topology(machine.root(), first_cpus(8))), ElementsAre(0, 4, 1, 5, 2, 6));
}

TEST(Topology, ASiblingOutsideTheAllowedStillMakesACore) {
  const Machine machine;
  machine.add(1, 2, 2);
  const Topology topology = read_topology(machine.root(), std::vector<int>{2, 3});
  EXPECT_EQ(count_cores(topology.cpus), 2);
  EXPECT_EQ(topology.find(3)->core, 1);
}

TEST(Topology, OlderSystemsNumberCoresWithinAPackage) {
  const Machine machine;
  for (int cpu = 0; cpu < 8; ++cpu) {
    const std::string folder = "/sys/devices/system/cpu/cpu" + std::to_string(cpu) + "/topology/";
    machine.file(folder + "physical_package_id", std::to_string(cpu / 4));
    machine.file(folder + "core_id", std::to_string(cpu % 2));
  }
  const Topology topology = read_topology(machine.root(), first_cpus(8));
  EXPECT_EQ(count_cores(topology.cpus), 4);
  EXPECT_EQ(topology.find(2)->core, 0);
  EXPECT_EQ(topology.find(6)->core, 4);
  EXPECT_EQ(count_nodes(topology.cpus), 1);
}

TEST(Topology, WithoutFilesEveryCpuIsACore) {
  const Machine machine;
  EXPECT_THAT(ids(read_topology(machine.root(), first_cpus(3))), ElementsAre(0, 1, 2));
  EXPECT_EQ(count_cores(read_topology(machine.root(), first_cpus(3)).cpus), 3);
}

TEST(Topology, FilesThatMakeNoSenseAreAsGoodAsAbsent) {
  const Machine machine;
  machine.file("/sys/devices/system/cpu/online", "all of them");
  machine.file("/sys/devices/system/cpu/cpu0/topology/core_cpus_list", "");
  machine.file("/sys/devices/system/cpu/cpu1/topology/core_cpus_list", "1-x");
  machine.file("/sys/devices/system/node/node0/cpulist", "");
  machine.file("/sys/devices/system/node/node/cpulist", "0");
  machine.file("/sys/devices/system/node/nodes/cpulist", "0");
  machine.file("/proc/self/cgroup", "rubbish");
  EXPECT_EQ(count_cores(read_topology(machine.root(), first_cpus(2)).cpus), 2);
}

double quota(const Machine& machine) { return read_topology(machine.root(), first_cpus(1)).quota; }

TEST(Quota, OfTheSecondVersionIsTheLeastOnTheWayUp) {
  const Machine machine;
  machine.file("/proc/self/cgroup", "0::/tenants/one/pod");
  EXPECT_EQ(quota(machine), 0);
  machine.file("/sys/fs/cgroup/tenants/one/pod/cpu.max", "max 100000");
  EXPECT_EQ(quota(machine), 0);
  machine.file("/sys/fs/cgroup/tenants/cpu.max", "250000 100000");
  EXPECT_EQ(quota(machine), 2.5);
  machine.file("/sys/fs/cgroup/tenants/one/cpu.max", "800000 100000");
  EXPECT_EQ(quota(machine), 2.5);
  machine.file("/sys/fs/cgroup/tenants/one/pod/cpu.max", "50000 50000");
  EXPECT_EQ(quota(machine), 1);
}

// A container sees the host's path in /proc and its own group at the top of /sys/fs/cgroup.
TEST(Quota, OfAContainerIsAtTheTop) {
  const Machine machine;
  machine.file("/proc/self/cgroup", "0::/kubepods/burstable/pod1f/2e");
  machine.file("/sys/fs/cgroup/cpu.max", "400000 100000");
  EXPECT_EQ(quota(machine), 4);
}

TEST(Quota, OfTheFirstVersion) {
  const Machine machine;
  machine.file("/proc/self/cgroup", "12:memory:/docker/ab\n4:cpu,cpuacct:/docker/ab\n1:name=systemd:/docker/ab");
  machine.file("/sys/fs/cgroup/cpu,cpuacct/docker/ab/cpu.cfs_quota_us", "-1");
  machine.file("/sys/fs/cgroup/cpu,cpuacct/docker/ab/cpu.cfs_period_us", "100000");
  EXPECT_EQ(quota(machine), 0);
  machine.file("/sys/fs/cgroup/cpu,cpuacct/docker/ab/cpu.cfs_quota_us", "150000");
  EXPECT_EQ(quota(machine), 1.5);
  machine.file("/sys/fs/cgroup/cpu/cpu.cfs_quota_us", "100000");
  machine.file("/sys/fs/cgroup/cpu/cpu.cfs_period_us", "200000");
  EXPECT_EQ(quota(machine), 0.5);
}

TEST(Topology, OfThisMachineIsWhatTheProcessMayUse) {
  const std::vector<int> allowed = allowed_cpus();
  const Topology topology = read_topology("", allowed);
  std::vector<int> found = ids(topology);
  std::sort(found.begin(), found.end());
  EXPECT_EQ(found, allowed);
  EXPECT_GE(count_cores(topology.cpus), 1);
  EXPECT_LE(count_cores(topology.cpus), static_cast<int>(allowed.size()));
}

}  // namespace
}  // namespace moxie
