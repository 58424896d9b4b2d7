#include "moe/runs.h"

#include <algorithm>

namespace moxie::moe {

Span Runs::add(const int32_t* row, const int32_t* range, const int32_t* set, Span span) {
  const auto set_of = [set](int64_t i) { return set == nullptr ? -1 : set[i]; };
  const auto first = static_cast<int64_t>(rows_.size());
  for (int64_t begin = span.begin; begin < span.end;) {
    RowRun run;
    run.range = range[begin];
    run.set = set_of(begin);
    int64_t end = begin + 1;
    while (end < span.end && range[end] == run.range && set_of(end) == run.set) ++end;
    run.rows = {begin, end};
    run.first_row = static_cast<int32_t>(row[begin] - ranges_[static_cast<size_t>(run.range)].begin);
    add_pairs(&run);
    rows_.push_back(run);
    begin = end;
  }
  return {first, static_cast<int64_t>(rows_.size())};
}

void Runs::add_pairs(RowRun* run) {
  run->pair_runs.begin = run->pair_runs.end = static_cast<int64_t>(pairs_.size());
  const RangeWork& range = ranges_[static_cast<size_t>(run->range)];
  if (!range.mixlora() || run->set >= 0) return;
  const Pairs& pairs = range.pairs;
  const auto end_row = static_cast<int32_t>(run->first_row + run->rows.size());
  for (int32_t e = 0; e < range.router.settings.experts; ++e) {
    const int32_t* end = pairs.row + pairs.begin_of[e + 1];
    const int32_t* begin = pairs.row + pairs.begin_of[e];
    const int32_t* lower = std::lower_bound(begin, end, run->first_row);
    const int32_t* upper = std::lower_bound(lower, end, end_row);
    if (lower != upper) pairs_.push_back({e, {lower - pairs.row, upper - pairs.row}});
  }
  run->pair_runs.end = static_cast<int64_t>(pairs_.size());
}

std::pmr::vector<RowTile> row_tiles(Workspace& workspace, Runs* runs, const RowList& list) {
  auto tiles = workspace.list<RowTile>();
  for (int64_t expert = 0; expert < list.experts; ++expert) {
    const int64_t begin = list.begin_of[expert], count = list.begin_of[expert + 1] - begin;
    for (int64_t t = 0; t < tiles_of(count); ++t) {
      const Span rows = tile_of_rows(t, count);
      const Span in_list{begin + rows.begin, begin + rows.end};
      tiles.push_back({expert, in_list, runs->add(list.row, list.range, list.set, in_list)});
    }
  }
  return tiles;
}

int64_t rows_of_largest(std::span<const RowTile> tiles) {
  int64_t most = 0;
  for (const RowTile& tile : tiles) most = std::max(most, tile.rows.size());
  return most;
}

}  // namespace moxie::moe
