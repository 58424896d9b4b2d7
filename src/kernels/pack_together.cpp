#include "kernels/pack_together.h"

#include <algorithm>
#include <atomic>

#include "runtime/huge_memory.h"
#include "runtime/parallel.h"

namespace moxie::kernels {
namespace {

std::vector<Storage> choose_storage(const std::vector<MatrixToPack>& matrices, DType dtype, const StoragePolicy& policy,
                                    int threads) {
  std::vector<Storage> result(matrices.size());
  parallel_for(threads, static_cast<int64_t>(matrices.size()), [&](int64_t index) {
    const MatrixToPack& m = matrices[static_cast<size_t>(index)];
    result[static_cast<size_t>(index)] = storage_of(policy, dtype, m.n, m.k, m.pack);
  });
  return result;
}

// The indices of those that do not fit.
std::vector<size_t> pack_rows(const std::vector<MatrixToPack>& matrices, int threads) {
  struct Task {
    size_t matrix;
    int64_t row;
  };
  std::vector<Task> tasks;
  for (size_t i = 0; i < matrices.size(); ++i) {
    for (int64_t row = 0; row < matrices[i].n; row += matrices[i].rows_per_task) tasks.push_back({i, row});
  }
  std::vector<std::atomic<bool>> not_compact(matrices.size());
  parallel_for(threads, static_cast<int64_t>(tasks.size()), [&](int64_t index) {
    const Task& task = tasks[static_cast<size_t>(index)];
    const MatrixToPack& m = matrices[task.matrix];
    if (not_compact[task.matrix]) return;
    try {
      m.pack(task.row, std::min(m.rows_per_task, m.n - task.row), task.row, m.matrix);
    } catch (const NotCompact&) {
      not_compact[task.matrix] = true;
    }
  });
  std::vector<size_t> result;
  for (size_t i = 0; i < matrices.size(); ++i) {
    if (not_compact[i]) result.push_back(i);
  }
  return result;
}

}  // namespace

PackedTogether pack_together(const std::vector<MatrixToPack>& matrices, DType dtype, const StoragePolicy& policy,
                             int threads, const TurnedOutPlain& turned_out_plain) {
  std::vector<Storage> storage = choose_storage(matrices, dtype, policy, threads);
  for (;;) {
    PackedTogether packed;
    for (size_t i = 0; i < matrices.size(); ++i) {
      packed.arena.add(matrices[i].matrix, dtype, matrices[i].n, matrices[i].k, storage[i]);
    }
    packed.memory = huge_memory(packed.arena.bytes());
    packed.arena.bind(packed.memory);
    const std::vector<size_t> unfit = pack_rows(matrices, threads);
    if (unfit.empty()) return packed;
    for (const size_t i : unfit) {
      turned_out_plain(i);
      storage[i] = Storage::kPlain;
    }
    // Their memory goes before there is more.
    for (const MatrixToPack& m : matrices) *m.matrix = {};
  }
}

}  // namespace moxie::kernels
