// What the tests of the kernels share: which entries this run may use, and matrices of random numbers.
#pragma once

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <ostream>
#include <random>
#include <string>
#include <vector>

#include "kernels/entries.h"
#include "kernels/kernels.h"
#include "runtime/cpu.h"

namespace moxie::kernels::test {

constexpr double epsilon = std::numeric_limits<float>::epsilon();
constexpr float not_a_number = std::numeric_limits<float>::quiet_NaN();

// MOXIE_ISA, so that a run of its own can look at oneDNN on a lower level.
inline mox_isa isa_limit() {
  const char* name = std::getenv("MOXIE_ISA");
  const std::string text = name == nullptr ? "" : name;
  if (text.empty()) return MOX_ISA_BEST;
  if (text == "portable") return MOX_ISA_PORTABLE;
  if (text == "avx2") return MOX_ISA_AVX2;
  if (text == "avx512") return MOX_ISA_AVX512;
  ADD_FAILURE() << "MOXIE_ISA is " << text;
  return MOX_ISA_BEST;
}

// Every entry of the table that this machine can run, up to MOXIE_ISA: those too that are slower than the level below.
inline std::vector<const Kernels*> usable_entries() {
  std::vector<const Kernels*> result;
  if (isa_limit() > machine_isa()) return result;
  const mox_isa limit = isa_limit() == MOX_ISA_BEST ? machine_isa() : isa_limit();
  for (const mox_backend backend : {MOX_BACKEND_NATIVE, MOX_BACKEND_ONEDNN, MOX_BACKEND_EIGEN, MOX_BACKEND_REFERENCE}) {
    for (const TableEntry& entry : table(limit, backend)) {
      if (entry.skipped_because.empty()) result.push_back(entry.kernels);
    }
  }
  result.push_back(&entries::amx_emulated);
  return result;
}

inline const Kernels& twin() { return *choose(MOX_ISA_BEST, MOX_BACKEND_REFERENCE).f32; }

inline std::vector<float> random_floats(std::mt19937& generator, int64_t count, float scale = 1) {
  std::uniform_real_distribution<float> distribution(-scale, scale);
  std::vector<float> result(static_cast<size_t>(count));
  for (float& value : result) value = distribution(generator);
  return result;
}

inline std::vector<std::vector<float>> random_rows(std::mt19937& generator, int64_t rows, int64_t width) {
  std::vector<std::vector<float>> result;
  for (int64_t r = 0; r < rows; ++r) result.push_back(random_floats(generator, width));
  return result;
}

inline int64_t random_between(std::mt19937& generator, int64_t low, int64_t high) {
  return std::uniform_int_distribution<int64_t>(low, high)(generator);
}

inline uint32_t bits_of(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  return bits;
}

// Rows of activations as a product takes them: float32 rows of exactly k, bfloat16 rows of padded k with zeros behind.
// What lies between two rows is NaN, and nothing lies behind the last: reading too far shows.
class Activations {
 public:
  Activations(DType dtype, const std::vector<std::vector<float>>& rows, int64_t k, int64_t gap) : dtype_(dtype) {
    const int64_t used = dtype == MOX_F32 ? k : (k + 31) / 32 * 32;
    lda_ = used + gap;
    const auto count = static_cast<int64_t>(rows.size());
    const auto size = static_cast<size_t>(count == 0 ? 0 : (count - 1) * lda_ + used);
    if (dtype == MOX_F32) {
      floats_.assign(size, not_a_number);
    } else {
      halves_.assign(size, 0x7fc0);
    }
    for (int64_t r = 0; r < count; ++r) {
      for (int64_t i = 0; i < used; ++i) {
        const float value = i < k ? rows[static_cast<size_t>(r)][static_cast<size_t>(i)] : 0.0F;
        const auto at = static_cast<size_t>(r * lda_ + i);
        if (dtype == MOX_F32) {
          floats_[at] = value;
        } else {
          halves_[at] = round_to_bfloat16(value);
        }
      }
    }
  }

  // Column k of the first row.
  [[nodiscard]] const void* data(int64_t k = 0) const {
    return dtype_ == MOX_F32 ? static_cast<const void*>(floats_.data() + k)
                             : static_cast<const void*>(halves_.data() + k);
  }
  [[nodiscard]] int64_t lda() const { return lda_; }
  [[nodiscard]] double norm(int64_t row, int64_t k) const {
    double sum = 0;
    for (int64_t i = 0; i < k; ++i) {
      const auto at = static_cast<size_t>(row * lda_ + i);
      const double value = dtype_ == MOX_F32 ? floats_[at] : widen_bfloat16(halves_[at]);
      sum += value * value;
    }
    return std::sqrt(sum);
  }

 private:
  DType dtype_;
  int64_t lda_ = 0;
  std::vector<float> floats_;
  std::vector<bfloat16> halves_;
};

inline PackedMatrix packed(DType dtype, const std::vector<float>& weights, int64_t n, int64_t k) {
  PackedMatrix result(dtype, n, k);
  result.pack_rows(0, n, weights.data(), MOX_F32, k);
  return result;
}

inline void run(const Kernels& kernels, DType dtype, const Matmul& m) {
  (dtype == MOX_F32 ? kernels.matmul_f32 : kernels.matmul_bf16)(m);
}

struct Candidate {
  const Kernels* kernels;
  DType dtype;
  [[nodiscard]] std::string name() const { return std::string(kernels->name) + (dtype == MOX_F32 ? "_f32" : "_bf16"); }
  // Instead of its bytes, some of which are padding.
  friend void PrintTo(const Candidate& candidate, std::ostream* out) { *out << candidate.name(); }
};

inline std::vector<Candidate> candidates() {
  std::vector<Candidate> result;
  for (const Kernels* kernels : usable_entries()) {
    result.push_back({kernels, MOX_F32});
    result.push_back({kernels, MOX_BF16});
  }
  return result;
}

inline std::string name_of(const testing::TestParamInfo<Candidate>& info) { return info.param.name(); }

inline std::string name_of_entry(const testing::TestParamInfo<const Kernels*>& info) { return info.param->name; }

}  // namespace moxie::kernels::test
