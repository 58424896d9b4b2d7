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
    find_sets(&run);
    rows_.push_back(run);
    begin = end;
  }
  return {first, static_cast<int64_t>(rows_.size())};
}

void Runs::find_sets(RowRun* run) {
  const RangeWork& range = ranges_[static_cast<size_t>(run->range)];
  const Span rows{run->first_row, run->first_row + run->rows.size()};
  if (range.mixlora()) {
    run->gate = run->up = run->down = add_pairs(range, run->set, rows);
    return;
  }
  run->gate = add_sets(range.gate, rows);
  run->up = add_sets(range.up, rows);
  run->down = add_sets(range.down_input, rows);
}

Span Runs::add_sets(const LoraInput& input, Span rows) {
  const auto first = static_cast<int64_t>(sets_.size());
  input.for_each_set(rows, [this](const SetRows& set) { sets_.push_back(set); });
  return {first, static_cast<int64_t>(sets_.size())};
}

Span Runs::add_pairs(const RangeWork& range, int32_t only, Span rows) {
  const auto first = static_cast<int64_t>(sets_.size());
  if (only >= 0) {
    // The run's rows are those that chose it, not all between.
    const int64_t begin = range.pairs.of_rows(only, rows).begin;
    sets_.push_back({only, {begin, begin + rows.size()}});
  } else {
    range.pairs.for_each_set(range.router.settings.experts, rows, [this](const SetRows& set) { sets_.push_back(set); });
  }
  return {first, static_cast<int64_t>(sets_.size())};
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
