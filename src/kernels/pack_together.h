// Matrices packed into one piece of memory on all threads, each held compact where that is wanted and it fits.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "kernels/packed_arena.h"
#include "kernels/storage.h"

namespace moxie::kernels {

struct MatrixToPack {
  PackedMatrix* matrix;
  int64_t n, k;
  int64_t rows_per_task;  // whole panels
  PackRows pack;
};

struct PackedTogether {
  PackedArena arena;
  std::shared_ptr<std::byte> memory;
};

// Called for a matrix that was to be compact and turned out not to fit, before all are packed anew.
using TurnedOutPlain = std::function<void(size_t index)>;

PackedTogether pack_together(const std::vector<MatrixToPack>& matrices, DType dtype, const StoragePolicy& policy,
                             int threads, const TurnedOutPlain& turned_out_plain);

}  // namespace moxie::kernels
