// AMX tiles. The instructions are written out, so the file needs no flags; GCC 12's _tile_loadconfig moreover tells the
// compiler of 8 of the 64 bytes it reads.
#include "cli/bench/loops/loops.h"

namespace moxie::cli::bench::loops {
namespace {

constexpr int tiles = 8;
constexpr int tile_rows = 16;
constexpr int row_bytes = 64;
constexpr int64_t tile_bytes = tile_rows * row_bytes;
constexpr int tile_columns = 16;
constexpr int tile_k = 32;

struct alignas(64) Configuration {
  uint8_t palette, start_row, reserved[14];
  uint16_t bytes[16];
  uint8_t rows[16];
};

// Sums in tiles 0 .. 3, activations in 4 and 5, weights in 6 and 7: all zero at first.
void begin() {
  Configuration configuration = {};
  configuration.palette = 1;
  for (int t = 0; t < tiles; ++t) {
    configuration.bytes[t] = row_bytes;
    configuration.rows[t] = tile_rows;
  }
  asm volatile("ldtilecfg %0" : : "m"(configuration));
}

void end() { asm volatile("tilerelease" ::: "memory"); }

template <int tile>
void load(const char* from) {
  asm volatile("tileloadd (%0,%1,1), %%tmm%c2" : : "r"(from), "r"(int64_t{row_bytes}), "i"(tile) : "memory");
}

template <int sum, int a, int w>
void multiply() {
  asm volatile("tdpbf16ps %%tmm%c2, %%tmm%c1, %%tmm%c0" : : "i"(sum), "i"(a), "i"(w));
}

void multiply_block() {
  multiply<0, 4, 6>();
  multiply<1, 4, 7>();
  multiply<2, 5, 6>();
  multiply<3, 5, 7>();
}

void in_registers(int64_t steps) {
  begin();
  for (int64_t step = 0; step < steps; ++step) multiply_block();
  end();
}

void from_memory(const void* activations, const void* weights, int64_t steps) {
  begin();
  const auto* a = static_cast<const char*>(activations);
  const auto* w = static_cast<const char*>(weights);
  for (int64_t step = 0; step < steps; ++step) {
    load<4>(a);
    load<5>(a + tile_bytes);
    load<6>(w);
    load<7>(w + tile_bytes);
    multiply_block();
    a += 2 * tile_bytes;
    w += 2 * tile_bytes;
  }
  end();
}

}  // namespace

constinit const Multiplier amx = {
    "amx tdpbf16ps", MOX_ISA_AMX,    MOX_BF16,     4.0 * 2 * tile_rows* tile_columns* tile_k,
    2 * tile_bytes,  2 * tile_bytes, in_registers, from_memory,
};

}  // namespace moxie::cli::bench::loops
