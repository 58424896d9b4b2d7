#include "kernels/storage.h"

#include <algorithm>

namespace moxie::kernels {
namespace {

// Smaller ones stay in the caches, where expanding costs more than it saves.
constexpr size_t least_bytes = size_t{1} << 20;
// Of a matrix's panels, which are read twice for that.
constexpr int64_t most_samples = 4, panels_for_a_sample = 32;

}  // namespace

Storage StoragePolicy::aim(DType dtype) const {
  const bool compact = wanted == MOX_STORAGE_COMPACT || (wanted == MOX_STORAGE_AUTO && compact_is_quicker);
  return dtype == MOX_BF16 && compact ? Storage::kCompact : Storage::kPlain;
}

bool StoragePolicy::takes_either(DType dtype) const {
  return dtype != MOX_BF16 || (wanted == MOX_STORAGE_AUTO && !compact_is_quicker);
}

StoragePolicy storage_policy(mox_storage wanted, const Choice& kernels) {
  // With AVX2 expanding takes too long.
  const Kernels& products = *kernels.bf16;
  return {wanted, products.backend == MOX_BACKEND_NATIVE && products.isa >= MOX_ISA_AVX512};
}

Storage storage_of(const StoragePolicy& policy, DType dtype, int64_t n, int64_t k, const PackRows& pack) {
  if (policy.aim(dtype) == Storage::kPlain) return Storage::kPlain;
  if (policy.wanted == MOX_STORAGE_AUTO && packed_bytes(dtype, n, k) < least_bytes) return Storage::kPlain;
  const int64_t panels = (n + panel_width - 1) / panel_width,
                samples = std::clamp<int64_t>(panels / panels_for_a_sample, std::min<int64_t>(panels, 1), most_samples);
  try {
    for (int64_t i = 0; i < samples; ++i) {
      const int64_t first = panels * i / samples * panel_width, rows = std::min(panel_width, n - first);
      PackedMatrix sample(dtype, rows, k, Storage::kCompact);
      pack(first, rows, 0, &sample);
    }
  } catch (const NotCompact&) {
    return Storage::kPlain;
  }
  return Storage::kCompact;
}

}  // namespace moxie::kernels
