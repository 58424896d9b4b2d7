// The tile unit as the kernel sees it, in two forms: the instructions, and a plain loop that does what they do.
//
// A tile holds up to 16 rows of 64 bytes. Of the eight, the kernel uses 0 .. 3 for sums, the rest for activations and
// weights.
#pragma once

#include <cstdint>
#include <cstring>

#include "runtime/dtype.h"

namespace moxie::kernels::amx {

constexpr int tile_count = 8;
constexpr int tile_rows = 16;
constexpr int tile_bytes = 64;                                              // of a row
constexpr int tile_columns = tile_bytes / static_cast<int>(sizeof(float));  // of a tile of sums
constexpr int tile_k = tile_bytes / static_cast<int>(sizeof(bfloat16));     // of a tile of activations

// Rows in use of each tile; all rows are 64 bytes.
struct TileRows {
  uint8_t of[tile_count];
};

// TDPBF16PS and its kin. Intel's documentation of the instructions is what both forms follow: activations and weights
// that are denormal count as zero, and so do denormal sums.
class HardwareTiles {
 public:
  HardwareTiles() = default;
  // Tiles in use make every switch of threads dear.
  ~HardwareTiles() { asm volatile("tilerelease" ::: "memory"); }
  HardwareTiles(const HardwareTiles&) = delete;
  HardwareTiles& operator=(const HardwareTiles&) = delete;

  // Rows in use from now on. What the tiles hold is lost.
  void shape(const TileRows& rows) {
    // GCC 12's _tile_loadconfig tells the compiler of 8 of the 64 bytes it reads, so the instruction is written here.
    alignas(64) Configuration configuration = {};
    configuration.palette = 1;
    for (int t = 0; t < tile_count; ++t) {
      configuration.bytes[t] = tile_bytes;
      configuration.rows[t] = rows.of[t];
    }
    asm volatile("ldtilecfg %0" : : "m"(configuration));
  }
  template <int tile>
  void zero() {
    asm volatile("tilezero %%tmm%c0" : : "i"(tile));
  }
  template <int tile>
  void load(const void* from, int64_t stride) {
    asm volatile("tileloadd (%0,%1,1), %%tmm%c2" : : "r"(from), "r"(stride), "i"(tile) : "memory");
  }
  // The same for what is not needed again soon.
  template <int tile>
  void load_once(const void* from, int64_t stride) {
    asm volatile("tileloaddt1 (%0,%1,1), %%tmm%c2" : : "r"(from), "r"(stride), "i"(tile) : "memory");
  }
  template <int tile>
  void store(float* to, int64_t stride) {
    asm volatile("tilestored %%tmm%c2, (%0,%1,1)" : : "r"(to), "r"(stride), "i"(tile) : "memory");
  }
  // sum[m][n] += a[m] . b[n]
  template <int sum, int a, int b>
  void multiply() {
    asm volatile("tdpbf16ps %%tmm%c2, %%tmm%c1, %%tmm%c0" : : "i"(sum), "i"(a), "i"(b));
  }

 private:
  struct Configuration {
    uint8_t palette, start_row, reserved[14];
    uint16_t bytes[16];
    uint8_t rows[16];
  };
};

class EmulatedTiles {
 public:
  void shape(const TileRows& rows) {
    rows_ = rows;
    std::memset(tiles_, 0, sizeof tiles_);
  }

  template <int tile>
  void zero() {
    std::memset(tiles_[tile], 0, sizeof tiles_[tile]);
  }
  template <int tile>
  void load(const void* from, int64_t stride) {
    zero<tile>();
    for (int row = 0; row < rows_.of[tile]; ++row) {
      std::memcpy(tiles_[tile][row], static_cast<const char*>(from) + row * stride, tile_bytes);
    }
  }
  template <int tile>
  void load_once(const void* from, int64_t stride) {
    load<tile>(from, stride);
  }
  template <int tile>
  void store(float* to, int64_t stride) {
    for (int row = 0; row < rows_.of[tile]; ++row) {
      std::memcpy(reinterpret_cast<char*>(to) + row * stride, tiles_[tile][row], tile_bytes);
    }
  }
  template <int sum, int a, int b>
  void multiply() {
    for (int m = 0; m < rows_.of[sum]; ++m) {
      for (int n = 0; n < tile_columns; ++n) {
        float even = 0;
        float odd = 0;
        for (int k = 0; k < rows_.of[b]; ++k) {
          even = flushed(even + element(a, m, 2 * k) * element(b, k, 2 * n));
          odd = flushed(odd + element(a, m, 2 * k + 1) * element(b, k, 2 * n + 1));
        }
        float total = 0;
        char* place = tiles_[sum][m] + n * static_cast<int>(sizeof(float));
        std::memcpy(&total, place, sizeof total);
        total = flushed(total + flushed(even + odd));
        std::memcpy(place, &total, sizeof total);
      }
    }
  }

 private:
  static float flushed(float value) {
    constexpr float smallest_normal = 0x1p-126F;
    return value < smallest_normal && value > -smallest_normal ? 0.0F : value;
  }
  [[nodiscard]] float element(int tile, int row, int column) const {
    bfloat16 bits = 0;
    std::memcpy(&bits, tiles_[tile][row] + column * static_cast<int>(sizeof bits), sizeof bits);
    return flushed(widen_bfloat16(bits));
  }

  TileRows rows_ = {};
  char tiles_[tile_count][tile_rows][tile_bytes] = {};
};

}  // namespace moxie::kernels::amx
