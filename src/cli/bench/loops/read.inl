// The reading loops of one width of load. `Load` has:
//   Register                     bits, as wide as one load
//   load(address), add(sum, value)
#include "cli/bench/loops/loops.h"

namespace moxie::cli::bench::loops {
namespace {

constexpr int64_t prefetch_distance = 2048;
constexpr int64_t line = 64;

template <class Load, int streams, bool prefetching>
void read(const char* from, int64_t distance, int64_t bytes) {
  constexpr auto width = static_cast<int64_t>(sizeof(typename Load::Register));
  typename Load::Register sums[streams] = {};
  for (int64_t at = 0; at < bytes; at += kReadStep) {
    for (int stream = 0; stream < streams; ++stream) {
      const char* here = from + stream * distance + at;
      if constexpr (prefetching) {
        for (int64_t i = 0; i < kReadStep; i += line) __builtin_prefetch(here + prefetch_distance + i, 0, 3);
      }
      for (int64_t i = 0; i < kReadStep; i += width) sums[stream] = Load::add(sums[stream], Load::load(here + i));
    }
  }
  for (int stream = 0; stream < streams; ++stream) asm volatile("" : : "x"(sums[stream]));
}

template <class Load>
constexpr Readers readers_of(mox_isa isa) {
  return {isa,
          {read<Load, 1, false>, read<Load, 2, false>, read<Load, 4, false>, read<Load, 8, false>},
          {read<Load, 1, true>, read<Load, 2, true>, read<Load, 4, true>, read<Load, 8, true>}};
}

}  // namespace
}  // namespace moxie::cli::bench::loops
