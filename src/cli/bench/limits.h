// What a machine can do at most: measured for a while on all threads at once, or beside something else.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "cli/bench/figures.h"
#include "cli/bench/loops/loops.h"
#include "cli/bench/pages.h"
#include "cli/bench/team.h"

namespace moxie::cli::bench {

// Multipliers up to a level, lowest first. What the machine lacks must not be asked for.
std::vector<const Multiplier*> multipliers(mox_isa highest);

// What a kernel is held against: the fastest products for its weights on its own instruction set. Backends of others
// do not say what they run; they are held against the best of `level`.
const Multiplier& multiplier_of(const std::string& kernel, mox_isa level, mox_dtype weights);

// Where a multiplier's operands are.
enum class Operands { kRegisters, kL1, kL2 };

const char* name_of(Operands operands);

// GFLOP/s of the first `threads` of a team over `seconds`, a short warm-up before.
double multiply_rate(Team& team, int threads, const Multiplier& multiplier, Operands operands, double seconds);

// How a thread walks through its part of the memory.
struct ReadPattern {
  int streams_index = 0;  // into kStreams
  bool prefetching = false;

  int streams() const { return kStreams[streams_index]; }
  std::string text() const;  // "8 streams, prefetching"
};

std::vector<ReadPattern> read_patterns();

// Memory much larger than the caches, each thread's part touched by itself.
class ReadMemory {
 public:
  // bytes 0: as much as default_bytes().
  ReadMemory(Team& team, PageKind kind, mox_isa level, int64_t bytes = 0);

  // Four times the caches, at least 1 GiB.
  static int64_t default_bytes();

  const Pages& pages() const { return pages_; }

  // GB/s of the first `threads` of the team over `seconds`. Each call goes on where the last one stopped.
  double read_rate(int threads, ReadPattern pattern, double seconds);

  // GB/s of memory copied from one half of each thread's part to the other; bytes read and bytes written both count.
  double copy_rate(int threads, double seconds);

  // The pattern that reads fastest on all threads; found in a short while.
  ReadPattern best_pattern();

 private:
  struct Part {
    char* begin;
    int64_t bytes;
    int64_t at = 0;  // where reading goes on
  };

  Team& team_;
  const Readers& readers_;
  Pages pages_;
  std::vector<Part> parts_;
};

// Measures limits for as long as it takes to trust them and not longer: between the calls of a benchmark.
class LimitProbe {
 public:
  // read_bytes 0: as much as ReadMemory takes by itself.
  LimitProbe(int threads, mox_isa level, int64_t read_bytes);

  Limits measure(const Multiplier& multiplier, double seconds);

  ReadPattern pattern() const { return pattern_; }
  const Pages& pages() const { return memory_.pages(); }

 private:
  Team team_;
  ReadMemory memory_;
  ReadPattern pattern_;
};

}  // namespace moxie::cli::bench
