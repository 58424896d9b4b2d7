// Stretches of a tile's rows that one adapter has to itself.
#pragma once

#include <algorithm>

#include "moe/dispatch.h"

namespace moxie::moe {

struct RowRun {
  int32_t range = 0;
  int32_t set = -1;       // the one expert of all these rows, where pairs are kept apart
  Span rows{0, 0};        // of the list the run was made from
  int32_t first_row = 0;  // of the range: that of rows.begin
  // Runs::sets of each linear's factors. MixLoRA: of its pairs, the same three times.
  Span gate{0, 0}, up{0, 0}, down{0, 0};
};

// Found once for each tile of rows; every block of columns walks the same ones.
class Runs {
 public:
  Runs(Workspace& workspace, std::span<const RangeWork> ranges)
      : ranges_(ranges), rows_(workspace.list<RowRun>()), sets_(workspace.list<SetRows>()) {}

  // Those of rows [span) of a list that tells each row's place in the call, its range and, or NULL, its set. Returns
  // which they are.
  Span add(const int32_t* row, const int32_t* range, const int32_t* set, Span span);

  [[nodiscard]] std::span<const RowRun> rows(Span which) const {
    return {rows_.data() + which.begin, rows_.data() + which.end};
  }
  // In ascending order.
  [[nodiscard]] std::span<const SetRows> sets(Span which) const {
    return {sets_.data() + which.begin, sets_.data() + which.end};
  }

 private:
  void find_sets(RowRun* run);
  Span add_sets(const LoraInput& input, Span rows);
  Span add_pairs(const RangeWork& range, int32_t only, Span rows);

  std::span<const RangeWork> ranges_;
  std::pmr::vector<RowRun> rows_;
  std::pmr::vector<SetRows> sets_;
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
