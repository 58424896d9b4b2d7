// The team under the executor: every task once, whoever is there to do it.
#include <gmock/gmock.h>

#include <atomic>
#include <set>
#include <stdexcept>
#include <thread>
#include <vector>

#include "runtime/cpu.h"
#include "runtime/executor.h"

namespace moxie {
namespace {

Placement threads(int count) {
  Placement placement;
  placement.threads = count;
  return placement;
}

// Phases of many sizes; every task adds its index once.
void run_phases(Executor& executor, int rounds) {
  executor.run([&](Team& team, Workspace&) {
    for (int round = 0; round < rounds; ++round) {
      for (const int64_t count : {0, 1, 2, 3, 17, 200}) {
        std::vector<std::atomic<int>> done(static_cast<size_t>(count));
        team.run(count, [&](int64_t index, int worker) {
          ASSERT_GE(worker, 0);
          ASSERT_LT(worker, team.size());
          done[static_cast<size_t>(index)].fetch_add(1);
        });
        for (const std::atomic<int>& times : done) ASSERT_EQ(times, 1);
      }
    }
  });
}

// Calls work(worker) on every thread of the team at once.
template <typename Work>
void on_every_thread(Team& team, Work&& work) {
  std::atomic<int> here{0};
  team.run(team.size(), [&](int64_t, int worker) {
    here.fetch_add(1);
    while (here.load() < team.size()) std::this_thread::yield();
    work(worker);
  });
}

TEST(Team, DoesEveryTaskOnce) {
  for (const int count : {1, 2, 3, 8}) {
    Executor executor(threads(count));
    run_phases(executor, 200);
  }
}

// Threads without a core to run on hold nobody up but the task they are in; nor do programs beside.
TEST(Team, WithMoreThreadsThanCpusAndSomebodyElseOnThem) {
  std::atomic<bool> finished{false};
  std::vector<std::thread> others;
  const size_t cpus = allowed_cpus().size();
  for (size_t i = 0; i < cpus; ++i) {
    others.emplace_back([&] {
      while (!finished) {
      }
    });
  }
  Executor executor(threads(static_cast<int>(2 * cpus + 1)));
  run_phases(executor, 20);
  finished = true;
  for (std::thread& other : others) other.join();
}

TEST(Team, EachWorkerIsOneThread) {
  Executor executor(threads(4));
  executor.run([](Team& team, Workspace&) {
    ASSERT_EQ(team.size(), 4);
    std::vector<std::thread::id> first(4), second(4);
    on_every_thread(team, [&](int worker) { first[static_cast<size_t>(worker)] = std::this_thread::get_id(); });
    on_every_thread(team, [&](int worker) { second[static_cast<size_t>(worker)] = std::this_thread::get_id(); });
    EXPECT_EQ(first, second);
    EXPECT_EQ(std::set<std::thread::id>(first.begin(), first.end()).size(), 4U);
  });
}

TEST(Team, OfFailuresTheFirstTaskSpeaks) {
  Executor executor(threads(3));
  for (int round = 0; round < 50; ++round) {
    int done = 0;
    try {
      executor.run([&](Team& team, Workspace&) {
        std::atomic<int> count{0};
        try {
          team.run(40, [&](int64_t index, int) {
            ++count;
            if (index % 10 == 7) throw std::runtime_error("task " + std::to_string(index));
          });
        } catch (...) {
          done = count;
          throw;
        }
      });
      ADD_FAILURE() << "nothing was thrown";
    } catch (const std::runtime_error& error) {
      EXPECT_STREQ(error.what(), "task 7");
    }
    EXPECT_EQ(done, 40);
  }
  run_phases(executor, 3);
}

TEST(Team, ThreadsRunWhereTheyAreBound) {
  const std::vector<int> before = allowed_cpus();
  const Topology topology = read_topology("", before);
  const auto bound = [&](const Placement& placement) {
    Executor executor(placement);
    std::vector<std::vector<int>> found(static_cast<size_t>(placement.threads));
    executor.run([&](Team& team, Workspace&) {
      on_every_thread(team, [&](int worker) { found[static_cast<size_t>(worker)] = allowed_cpus(); });
    });
    return found;
  };
  for (const mox_affinity affinity : {MOX_AFFINITY_CORES, MOX_AFFINITY_COMPACT}) {
    const Placement placement = place(topology, affinity, nullptr, 0);
    const auto found = bound(placement);
    for (size_t worker = 0; worker < found.size(); ++worker) {
      EXPECT_THAT(found[worker], testing::ElementsAre(placement.cpus[worker])) << "worker " << worker;
    }
  }
  // The last CPU alone, for more threads than one.
  const Placement confined = place(topology, MOX_AFFINITY_NONE, std::to_string(before.back()).c_str(), 3);
  for (const std::vector<int>& cpus : bound(confined)) EXPECT_THAT(cpus, testing::ElementsAre(before.back()));
  for (const std::vector<int>& cpus : bound(place(topology, MOX_AFFINITY_AUTO, nullptr, 2))) EXPECT_EQ(cpus, before);
  EXPECT_EQ(allowed_cpus(), before) << "the caller was bound";
}

// Callers queue while a call is running; each is served once, and the queue is whole again afterwards.
TEST(Executor, ServesEveryCallerThatWaits) {
  constexpr int callers = 50;
  Executor executor(threads(2));
  for (int round = 0; round < 10; ++round) {
    std::atomic<int> queued{0};
    std::vector<int> served(callers, 0);
    std::vector<std::thread> waiting;
    executor.run([&](Team&, Workspace&) {
      for (size_t i = 0; i < callers; ++i) {
        waiting.emplace_back([&, i] {
          ++queued;
          executor.run([&](Team&, Workspace&) { ++served[i]; });
        });
      }
      while (queued < callers) std::this_thread::yield();
    });
    for (std::thread& caller : waiting) caller.join();
    EXPECT_THAT(served, testing::Each(1));
  }
}

// A caller's stack and its thread may be gone before the executor has finished telling it. (Under a sanitizer this
// shows.)
TEST(Executor, CallersMayEndAsSoonAsTheyAreServed) {
  Executor executor(threads(2));
  std::atomic<int> served{0};
  constexpr int callers = 300;
  for (int i = 0; i < callers; ++i) {
    std::thread([&] { executor.run([&](Team&, Workspace&) { ++served; }); }).join();
  }
  EXPECT_EQ(served, callers);
}

}  // namespace
}  // namespace moxie
