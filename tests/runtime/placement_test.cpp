#include "runtime/placement.h"

#include <gmock/gmock.h>

#include "machines.h"
#include "runtime/cpu.h"
#include "runtime/error.h"

namespace moxie {
namespace {

using test::first_cpus;
using test::Machine;
using testing::ElementsAre;
using testing::HasSubstr;

// Two packages of three cores with two threads each: 0-2 and 6-8, 3-5 and 9-11.
class TwoSockets : public testing::Test {
 protected:
  TwoSockets() {
    machine_.add(2, 3, 2);
    topology_ = read_topology(machine_.root(), first_cpus(12));
  }
  void refuse(const std::string& words, mox_affinity affinity, const char* cpus, int threads) const {
    try {
      (void)place(topology_, affinity, cpus, threads);
      ADD_FAILURE() << "taken; expected: " << words;
    } catch (const Error& error) {
      EXPECT_EQ(error.status(), MOX_INVALID_ARGUMENT);
      EXPECT_THAT(error.what(), HasSubstr(words));
    }
  }

  Machine machine_;
  Topology topology_;
};

TEST_F(TwoSockets, ByDefaultOneThreadForEachCoreBoundNowhere) {
  const Placement placement = place(topology_, MOX_AFFINITY_AUTO, nullptr, 0);
  EXPECT_EQ(placement.affinity, MOX_AFFINITY_NONE);
  EXPECT_EQ(placement.threads, 6);
  EXPECT_FALSE(placement.confined);
  EXPECT_EQ(placement.cpus, first_cpus(12));
  EXPECT_EQ(placement.cores, 6);
  EXPECT_EQ(placement.nodes, 2);
  EXPECT_EQ(place(topology_, MOX_AFFINITY_AUTO, nullptr, 40).threads, 40);
}

TEST_F(TwoSockets, CoresLeaveSiblingsAlone) {
  const Placement all = place(topology_, MOX_AFFINITY_CORES, nullptr, 0);
  EXPECT_TRUE(all.confined);
  EXPECT_THAT(all.cpus, ElementsAre(0, 1, 2, 3, 4, 5));
  const Placement four = place(topology_, MOX_AFFINITY_CORES, nullptr, 4);
  EXPECT_EQ(four.threads, 4);
  EXPECT_THAT(four.cpus, ElementsAre(0, 1, 2, 3));
  EXPECT_EQ(place(topology_, MOX_AFFINITY_CORES, nullptr, 3).nodes, 1);
  refuse("threads is 7, but affinity cores gives each a core of its own, and there are 6", MOX_AFFINITY_CORES, nullptr,
         7);
}

TEST_F(TwoSockets, CompactFillsCores) {
  const Placement all = place(topology_, MOX_AFFINITY_COMPACT, nullptr, 0);
  EXPECT_EQ(all.threads, 12);
  EXPECT_THAT(place(topology_, MOX_AFFINITY_COMPACT, nullptr, 5).cpus, ElementsAre(0, 6, 1, 7, 2));
  EXPECT_EQ(place(topology_, MOX_AFFINITY_COMPACT, nullptr, 5).cores, 3);
  refuse("affinity compact gives each a CPU of its own, and there are 12", MOX_AFFINITY_COMPACT, nullptr, 13);
}

TEST_F(TwoSockets, AListKeepsItsOrder) {
  const Placement placement = place(topology_, MOX_AFFINITY_AUTO, "9,3-5", 0);
  EXPECT_EQ(placement.affinity, MOX_AFFINITY_COMPACT);
  EXPECT_EQ(placement.threads, 4);
  EXPECT_THAT(placement.cpus, ElementsAre(9, 3, 4, 5));
  EXPECT_EQ(placement.cores, 3);
  EXPECT_EQ(placement.nodes, 1);
  EXPECT_THAT(place(topology_, MOX_AFFINITY_CORES, "9,3-5", 0).cpus, ElementsAre(9, 4, 5));
  EXPECT_THAT(place(topology_, MOX_AFFINITY_AUTO, "9,3-5", 2).cpus, ElementsAre(9, 3));
  refuse("threads is 5", MOX_AFFINITY_AUTO, "9,3-5", 5);
}

TEST_F(TwoSockets, AListWithoutBindingOnlyConfines) {
  const Placement placement = place(topology_, MOX_AFFINITY_NONE, "9,3-5", 0);
  EXPECT_EQ(placement.threads, 3);
  EXPECT_TRUE(placement.confined);
  EXPECT_FALSE(placement.one_by_one());
  EXPECT_THAT(placement.cpus, ElementsAre(3, 4, 5, 9));
  EXPECT_EQ(place(topology_, MOX_AFFINITY_NONE, "9,3-5", 8).threads, 8);
}

TEST_F(TwoSockets, AListThatCannotBeUsedIsRefused) {
  refuse("cpus is '0-1,'", MOX_AFFINITY_AUTO, "0-1,", 0);
  refuse("cpus is ''", MOX_AFFINITY_AUTO, "", 0);
  refuse("CPU 12 is not among those this process may run on: 0-11", MOX_AFFINITY_AUTO, "0,12", 0);
  topology_ = read_topology(machine_.root(), std::vector<int>{2, 4, 5});
  refuse("CPU 3 is not among those this process may run on: 2,4-5", MOX_AFFINITY_NONE, "2-4", 0);
}

TEST_F(TwoSockets, AQuotaLimitsTheDefaultOnly) {
  topology_.quota = 2.5;
  EXPECT_EQ(place(topology_, MOX_AFFINITY_AUTO, nullptr, 0).threads, 2);
  EXPECT_EQ(place(topology_, MOX_AFFINITY_AUTO, nullptr, 5).threads, 5);
  EXPECT_EQ(place(topology_, MOX_AFFINITY_COMPACT, "0-3", 0).threads, 2);
  EXPECT_THAT(place(topology_, MOX_AFFINITY_COMPACT, "0-3", 0).cpus, ElementsAre(0, 1));
  topology_.quota = 0.5;
  EXPECT_EQ(place(topology_, MOX_AFFINITY_CORES, nullptr, 0).threads, 1);
  topology_.quota = 100;
  EXPECT_EQ(place(topology_, MOX_AFFINITY_AUTO, nullptr, 0).threads, 6);
}

TEST(Placement, WhatTheSystemRefusesIsSaid) {
  Placement placement;
  placement.affinity = MOX_AFFINITY_COMPACT;
  placement.confined = true;
  placement.cpus = {allowed_cpus().front()};
  EXPECT_NO_THROW(require_bindable(placement));
  placement.cpus = {60000};
  try {
    require_bindable(placement);
    ADD_FAILURE() << "CPU 60000 was taken";
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("CPU 60000 cannot be used: Invalid argument"));
  }
}

TEST(Placement, ALoadingThreadIsBorrowed) {
  const std::vector<int> before = allowed_cpus();
  Placement placement;
  placement.confined = true;
  placement.cpus = {before.back()};
  {
    const NearPlacement near(placement);
    EXPECT_THAT(allowed_cpus(), ElementsAre(before.back()));
  }
  EXPECT_EQ(allowed_cpus(), before);
}

}  // namespace
}  // namespace moxie
