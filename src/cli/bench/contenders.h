// Feed-forwards of one shape under several backends and instruction sets, measured call by call in turns, each call
// between measurements of what the machine can do at that moment.
#pragma once

#include <string>
#include <vector>

#include "cli/bench/figures.h"
#include "cli/bench/limits.h"
#include "cli/bench/workload.h"
#include "cli/common_options.h"

namespace moxie::cli::bench {

constexpr size_t kLeastRounds = 5;
constexpr double kWarmUpPart = 0.2;  // of the time measured

struct Contender {
  std::string name;  // "native:avx2"; "default" where no backend was asked for
  std::string kernel;
  const Multiplier* limit = nullptr;  // what its arithmetic is held against
  Runtime runtime;
  FeedForward feed_forward;
  int64_t weight_bytes = 0;  // packed
  double held = 1;           // of the bytes that the experts take with as many for each weight as its type has
};

// A runtime by options, with another backend and level where those are not "".
Contender open_contender(const CommonOptions& options, const std::string& backend, const std::string& isa,
                         const FfnShape& shape);

// A runtime's kernel for weights of this type.
std::string kernel_of(const Runtime& runtime, mox_dtype weights);

// Keys of a row in JSON; the kernel and what it was held against included.
nlohmann::json as_json(const CallFigures& figures, const Contender& contender);

struct Rounds {
  std::vector<std::vector<TimedCall>> calls;  // [contender][round]
  double operations = 0;
  Spread experts_used;
  size_t batches = 0;
  int64_t rotation_bytes = 0;

  // Median over the rounds of contender `other`'s time over `base`'s.
  double ratio(size_t other, size_t base) const;
};

nlohmann::json rotation_json(const Rounds& rounds);

Rounds measure_rounds(const std::vector<Contender>& contenders, const FfnShape& shape, int64_t tokens, double seconds,
                      LimitProbe& probe);

}  // namespace moxie::cli::bench
