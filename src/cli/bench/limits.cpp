#include "cli/bench/limits.h"

#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstring>

#include "cli/bench/caches.h"
#include "cli/failure.h"

namespace moxie::cli::bench {
namespace {

using Clock = std::chrono::steady_clock;

constexpr double kWarmUp = 0.1;                   // of the time measured
constexpr double kLeastWarmUp = 150e-6;           // seconds; threads of the library may still spin until then
constexpr double kOperationsPerLook = 1e6;        // between two looks at the clock
constexpr int64_t kPanelSteps = 256;              // of k, as long as a kernel's block
constexpr int64_t kLine = 64;                     // bytes
constexpr int64_t kReadPiece = int64_t{1} << 20;  // bytes between two looks at the clock

double seconds_since(Clock::time_point begin) { return std::chrono::duration<double>(Clock::now() - begin).count(); }

// Threads that load the machine together: none of them measures while another has not begun or is done already.
struct Together {
  explicit Together(int size) : threads(size) {}
  int threads;
  std::atomic<int> begun{0}, done{0};
};

// Calls piece() for a warm-up and then for at least `seconds`; what the pieces then returned, for each second.
template <typename Piece>
double rate_of(double seconds, Together& together, Piece piece) {
  const double warm_up = std::max(kLeastWarmUp, kWarmUp * seconds);
  auto begin = Clock::now();
  together.begun.fetch_add(1);
  while (seconds_since(begin) < warm_up || together.begun.load() < together.threads) piece();
  begin = Clock::now();
  double work = 0, spent = 0;
  do {
    work += piece();
    spent = seconds_since(begin);
  } while (spent < seconds);
  together.done.fetch_add(1);
  while (together.done.load() < together.threads) piece();
  return work / spent;
}

double sum(const std::vector<double>& values) {
  double total = 0;
  for (const double value : values) total += value;
  return total;
}

// Linux hands out the tile registers on request, once for the process.
bool tiles_granted() {
  constexpr long request_permission = 0x1023;  // ARCH_REQ_XCOMP_PERM
  constexpr long tile_data = 18;               // XFEATURE_XTILEDATA
  static const bool granted = syscall(SYS_arch_prctl, request_permission, tile_data) == 0;
  return granted;
}

const Readers& readers_of(mox_isa level) {
  if (level >= MOX_ISA_AVX512) return loops::avx512_readers;
  if (level >= MOX_ISA_AVX2) return loops::avx2_readers;
  return loops::sse2_readers;
}

const Multiplier& best_of(mox_isa level, mox_dtype weights) {
  if (weights == MOX_BF16 && level >= MOX_ISA_AMX && tiles_granted()) return loops::amx;
  if (weights == MOX_BF16 && level >= MOX_ISA_AVX512_BF16) return loops::avx512_bf16;
  if (level >= MOX_ISA_AVX512) return loops::avx512;
  if (level >= MOX_ISA_AVX2) return loops::avx2;
  return loops::sse2;
}

// Half of a cache holds operands: from L1, one panel of weights and its activations; from L2, panel after panel of
// weights with the same activations.
class CacheOperands {
 public:
  CacheOperands(const Multiplier& multiplier, Operands operands)
      : multiplier_(multiplier),
        steps_(std::clamp<int64_t>(caches().l1 / 2 / (multiplier.activation_bytes + multiplier.weight_bytes), 1,
                                   kPanelSteps)),
        panels_(operands == Operands::kL1 ? 1 : std::max<int64_t>(caches().l2 / 2 / panel_bytes(), 2)),
        pages_(steps_ * multiplier.activation_bytes + panels_ * panel_bytes() + kLine, PageKind::kHuge) {
    constexpr uint32_t float_bits = 0x3C000000, two_bfloats = 0x3C003C00;  // 2^-7: no sum overflows
    const uint32_t bits = multiplier.weights == MOX_F32 ? float_bits : two_bfloats;
    for (int64_t at = 0; at < pages_.bytes(); at += static_cast<int64_t>(sizeof bits)) {
      std::memcpy(pages_.data() + at, &bits, sizeof bits);
    }
    const int64_t activations = steps_ * multiplier.activation_bytes;
    weights_ = pages_.data() + (activations + kLine - 1) / kLine * kLine;
  }

  double rate(double seconds, Together& together) const {
    const int64_t pieces = panels_ > 1 ? 1 : 16;
    int64_t panel = 0;
    return rate_of(seconds, together, [&] {
      for (int64_t piece = 0; piece < pieces; ++piece) {
        multiplier_.from_memory(pages_.data(), weights_ + panel * panel_bytes(), steps_);
        panel = panel + 1 < panels_ ? panel + 1 : 0;
      }
      return static_cast<double>(pieces * steps_) * multiplier_.step_operations;
    });
  }

 private:
  int64_t panel_bytes() const { return steps_ * multiplier_.weight_bytes; }

  const Multiplier& multiplier_;
  int64_t steps_, panels_;
  Pages pages_;
  const char* weights_ = nullptr;
};

double multiply_in_registers(const Multiplier& multiplier, double seconds, Together& together) {
  // About 10 microseconds between two looks at the clock.
  const auto steps = static_cast<int64_t>(kOperationsPerLook / multiplier.step_operations) + 1;
  return rate_of(seconds, together, [&] {
    multiplier.in_registers(steps);
    return static_cast<double>(steps) * multiplier.step_operations;
  });
}

}  // namespace

std::vector<const Multiplier*> multipliers(mox_isa highest) {
  std::vector<const Multiplier*> found;
  for (const auto* multiplier : {&loops::sse2, &loops::avx2, &loops::avx512, &loops::avx512_bf16, &loops::amx}) {
    if (multiplier->isa > highest) continue;
    if (multiplier->isa == MOX_ISA_AMX && !tiles_granted()) continue;
    found.push_back(multiplier);
  }
  return found;
}

const Multiplier& multiplier_of(const std::string& kernel, mox_isa level, mox_dtype weights) {
  // A native kernel is called after its instruction set, which may be below the level.
  for (int isa = MOX_ISA_PORTABLE; isa <= level; ++isa) {
    if (kernel == mox_isa_name(mox_isa(isa))) return best_of(mox_isa(isa), weights);
  }
  return best_of(level, weights);
}

const char* name_of(Operands operands) {
  switch (operands) {
    case Operands::kRegisters:
      return "registers";
    case Operands::kL1:
      return "L1";
    case Operands::kL2:
      return "L2";
  }
  return "";
}

double multiply_rate(Team& team, int threads, const Multiplier& multiplier, Operands operands, double seconds) {
  std::vector<double> rates(static_cast<size_t>(threads));
  Together together(threads);
  std::vector<std::unique_ptr<CacheOperands>> in_cache(rates.size());
  if (operands != Operands::kRegisters) {
    for (auto& mine : in_cache) mine = std::make_unique<CacheOperands>(multiplier, operands);
  }
  team.run(threads, [&](int thread) {
    const auto& mine = in_cache[static_cast<size_t>(thread)];
    rates[static_cast<size_t>(thread)] =
        mine ? mine->rate(seconds, together) : multiply_in_registers(multiplier, seconds, together);
  });
  return sum(rates) / 1e9;
}

std::string ReadPattern::text() const {
  return std::to_string(streams()) + (streams() == 1 ? " stream" : " streams") + (prefetching ? ", prefetching" : "");
}

std::vector<ReadPattern> read_patterns() {
  std::vector<ReadPattern> patterns;
  for (const bool prefetching : {false, true}) {
    for (int index = 0; index < kStreamCounts; ++index) patterns.push_back({index, prefetching});
  }
  return patterns;
}

int64_t ReadMemory::default_bytes() { return std::max(int64_t{1} << 30, 4 * caches().total); }

ReadMemory::ReadMemory(Team& team, PageKind kind, mox_isa level, int64_t bytes)
    : team_(team), readers_(readers_of(level)), pages_(bytes > 0 ? bytes : default_bytes(), kind) {
  // A part is a number of pieces for as many streams as there can be, and again for the halves of a copy.
  constexpr int64_t unit = 2 * kStreams[kStreamCounts - 1] * kReadStep;
  const int64_t part = pages_.bytes() / team.size() / unit * unit;
  if (part == 0) throw Failure("the memory to read is too small for its threads");
  for (int thread = 0; thread < team.size(); ++thread) parts_.push_back({pages_.data() + thread * part, part});
  // No two pages alike: a hypervisor may keep one copy of those.
  team.run(team.size(), [&](int thread) {
    const auto& mine = parts_[static_cast<size_t>(thread)];
    uint64_t state = static_cast<uint64_t>(thread) + 1;
    for (int64_t at = 0; at < mine.bytes; at += static_cast<int64_t>(sizeof state)) {
      state = state * 6364136223846793005U + 1442695040888963407U;  // Knuth's MMIX generator
      std::memcpy(mine.begin + at, &state, sizeof state);
    }
  });
}

double ReadMemory::read_rate(int threads, ReadPattern pattern, double seconds) {
  const auto index = static_cast<size_t>(pattern.streams_index);
  const Reader reader = pattern.prefetching ? readers_.prefetching[index] : readers_.plain[index];
  const int64_t streams = pattern.streams();
  std::vector<double> rates(static_cast<size_t>(threads));
  Together together(threads);
  team_.run(threads, [&](int thread) {
    auto& part = parts_[static_cast<size_t>(thread)];
    const int64_t distance = part.bytes / streams;
    int64_t at = part.at / streams / kReadStep * kReadStep;
    rates[static_cast<size_t>(thread)] = rate_of(seconds, together, [&] {
      if (at >= distance) at = 0;
      const int64_t bytes = std::min(kReadPiece / streams, distance - at);
      reader(part.begin + at, distance, bytes);
      at += bytes;
      return static_cast<double>(bytes * streams);
    });
    part.at = at * streams;
  });
  return sum(rates) / 1e9;
}

double ReadMemory::copy_rate(int threads, double seconds) {
  std::vector<double> rates(static_cast<size_t>(threads));
  Together together(threads);
  team_.run(threads, [&](int thread) {
    const auto& part = parts_[static_cast<size_t>(thread)];
    const int64_t half = part.bytes / 2;
    int64_t at = 0;
    rates[static_cast<size_t>(thread)] = rate_of(seconds, together, [&] {
      if (at >= half) at = 0;
      // Large enough for memcpy to take the way it has for what does not fit the caches.
      const int64_t bytes = std::min(int64_t{64} << 20, half - at);
      std::memcpy(part.begin + half + at, part.begin + at, static_cast<size_t>(bytes));
      at += bytes;
      return 2 * static_cast<double>(bytes);
    });
  });
  return sum(rates) / 1e9;
}

ReadPattern ReadMemory::best_pattern() {
  constexpr int rounds = 3;
  constexpr double seconds = 0.01;
  const auto patterns = read_patterns();
  std::vector<double> best(patterns.size(), 0);
  for (int round = 0; round < rounds; ++round) {
    for (size_t i = 0; i < patterns.size(); ++i) {
      best[i] = std::max(best[i], read_rate(team_.size(), patterns[i], seconds));
    }
  }
  return patterns[static_cast<size_t>(std::max_element(best.begin(), best.end()) - best.begin())];
}

LimitProbe::LimitProbe(int threads, mox_isa level, int64_t read_bytes)
    : team_(threads), memory_(team_, PageKind::kHuge, level, read_bytes), pattern_(memory_.best_pattern()) {}

Limits LimitProbe::measure(const Multiplier& multiplier, double seconds) {
  Limits limits;
  limits.gflops = multiply_rate(team_, team_.size(), multiplier, Operands::kRegisters, seconds);
  limits.read_gbs = memory_.read_rate(team_.size(), pattern_, 2 * seconds);
  return limits;
}

}  // namespace moxie::cli::bench
