// Stretches of a tile's rows that one adapter has to itself.
#pragma once

#include <algorithm>

#include "moe/dispatch.h"

namespace moxie::moe {

// Pairs of one MixLoRA expert whose rows lie in one stretch.
struct PairRun {
  int32_t set = 0;
  Span pairs{0, 0};
};

struct RowRun {
  int32_t range = 0;
  int32_t set = -1;       // the one expert of all these rows, where pairs are kept apart
  Span rows{0, 0};        // of the list the run was made from
  Span pair_runs{0, 0};   // MixLoRA whose pairs are not kept apart
  int32_t first_row = 0;  // of the range: that of rows.begin
};

// Found once for each tile of rows; every block of columns walks the same ones.
class Runs {
 public:
  Runs(Workspace& workspace, std::span<const RangeWork> ranges)
      : ranges_(ranges), rows_(workspace.list<RowRun>()), pairs_(workspace.list<PairRun>()) {}

  // Those of rows [span) of a list that tells each row's place in the call, its range and, or NULL, its set. Returns
  // which they are.
  Span add(const int32_t* row, const int32_t* range, const int32_t* set, Span span);

  [[nodiscard]] std::span<const RowRun> rows(Span which) const {
    return {rows_.data() + which.begin, rows_.data() + which.end};
  }
  [[nodiscard]] std::span<const PairRun> pairs(const RowRun& run) const {
    return {pairs_.data() + run.pair_runs.begin, pairs_.data() + run.pair_runs.end};
  }
  // Calls visit(range, set) for every set of factors that the run applies.
  template <typename Visit>
  void for_each_set(const RowRun& run, Visit&& visit) const {
    const RangeWork& range = ranges_[static_cast<size_t>(run.range)];
    if (range.adapter == nullptr) return;
    if (!range.mixlora() || run.set >= 0) visit(range, std::max(run.set, 0));
    for (const PairRun& chosen : pairs(run)) visit(range, chosen.set);
  }

 private:
  void add_pairs(RowRun* run);

  std::span<const RangeWork> ranges_;
  std::pmr::vector<RowRun> rows_;
  std::pmr::vector<PairRun> pairs_;
};

// Rows that a stage works on, expert of the base after expert: each row's place in the call, its range and, or NULL,
// its set.
struct RowList {
  int64_t experts = 0;
  const int64_t* begin_of = nullptr;  // [experts + 1]
  const int32_t* row = nullptr;
  const int32_t* range = nullptr;
  const int32_t* set = nullptr;
};

// Rows of one expert that make one tile.
struct RowTile {
  int64_t expert = 0;
  Span rows{0, 0};  // of the list
  Span runs{0, 0};
};

// The list in tiles of rows, expert after expert.
std::pmr::vector<RowTile> row_tiles(Workspace& workspace, Runs* runs, const RowList& list);
int64_t rows_of_largest(std::span<const RowTile> tiles);

}  // namespace moxie::moe
