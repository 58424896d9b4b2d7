// Which matrices are held compact.
#pragma once

#include <cstdint>
#include <functional>

#include "kernels/kernels.h"
#include "kernels/packed_matrix.h"
#include "moxie/feed_forward.h"

namespace moxie::kernels {

// What the caller wants, and whether the products in use are expected to be quicker with compact weights.
struct StoragePolicy {
  mox_storage wanted = MOX_STORAGE_AUTO;
  bool compact_is_quicker = false;

  // What is looked for: compact weights where they allow it, or plain ones.
  [[nodiscard]] Storage aim(DType dtype) const;
  // Whether weights that were held with the other aim do as well.
  [[nodiscard]] bool takes_either(DType dtype) const;
};

StoragePolicy storage_policy(mox_storage wanted, const Choice& kernels);

// Packs rows [first, first + rows) of a source to a matrix's rows from to_row on. From any thread.
using PackRows = std::function<void(int64_t first, int64_t rows, int64_t to_row, PackedMatrix* to)>;

// How to hold a matrix. Where it may be compact, a few of its panels are tried; that the others are like them shows
// when they are packed.
Storage storage_of(const StoragePolicy& policy, DType dtype, int64_t n, int64_t k, const PackRows& pack);

}  // namespace moxie::kernels
