// Stage 3: y = sum over experts of W2 h + B2 z2, for a tile of h rows and a block of hidden columns.
#include <algorithm>

#include "moe/stages.h"

namespace moxie::moe {
namespace {

// Rows are h rows.
struct Tile : RowTile {
  Span panels{0, 0};
};

// y: the first row of the run.
void adapt(const Stages& s, const Runs& runs, const Tile& tile, const RowRun& run, float* y, int64_t ldy) {
  const RangeWork& range = s.ranges[static_cast<size_t>(run.range)];
  if (range.down == nullptr) return;
  const LoraInput& input = range.down_input;
  const auto add = [&](int32_t set, int64_t z_row, int64_t count, const LoraRows& rows) {
    add_lora(s.context, *range.down, set, input.z + z_row * input.ldz, input.ldz, count, tile.panels, rows);
  };
  if (!range.mixlora()) {
    add(0, run.first_row, run.rows.size(), LoraRows::in_place(y, ldy));
  } else if (run.set >= 0) {
    add(run.set, run.rows.begin - s.hidden.first_pair_of[run.range], run.rows.size(), LoraRows::in_place(y, ldy));
  } else {
    // Each expert's addition, in ascending order.
    for (const PairRun& chosen : runs.pairs(run)) {
      const int32_t* rows = range.pairs.row + chosen.pairs.begin;
      add(chosen.set, chosen.pairs.begin, chosen.pairs.size(), {y, ldy, rows, y, ldy, rows, run.first_row});
    }
  }
}

void add_bias(const Stages& s, const Linear& down, const Tile& tile, float* y, int64_t ldy) {
  if (down.bias.empty()) return;
  const int64_t first = tile.panels.begin * kernels::panel_width;
  const int64_t columns = std::min(tile.panels.end * kernels::panel_width, s.base.hidden) - first;
  for (int64_t q = tile.rows.begin; q < tile.rows.end; ++q) {
    float* row = y + (q - tile.rows.begin) * ldy;
    const float weight = s.hidden.bias_weight[q];
    for (int64_t c = 0; c < columns; ++c) row[c] += weight * down.bias[static_cast<size_t>(first + c)];
  }
}

// A row over a switch router's capacity keeps its input, weighted.
void add_overflow(const Stages& s, const RangeWork& range, int64_t row, Span columns, float* y) {
  if (range.pairs.overflow_weight == nullptr) return;
  const float weight = range.pairs.overflow_weight[row - range.begin];
  if (weight == 0.0F) return;
  const float* x = s.call.x + row * s.call.ldx;
  for (int64_t c = columns.begin; c < columns.end; ++c) y[c] += weight * x[c];
}

void run_tile(const Stages& s, const Runs& runs, const Tile& tile, kernels::Fetch* fetches, float* y, int64_t ldy) {
  const Linear& down = s.base.experts[static_cast<size_t>(tile.expert)].down;
  float* out = y + tile.rows.begin * ldy + tile.panels.begin * kernels::panel_width;
  // The factors of the tile's adapters come from memory while the base's product runs.
  size_t count = 0;
  runs.for_each_set(tile.runs, [&](const RangeWork& range, int32_t set) {
    if (range.down == nullptr) return;
    fetches[count++] = fetch_of(range.down->b.panels_of(set, tile.panels.begin, tile.panels.end));
  });
  multiply(s.context, s.h, down.weight, tile.rows, tile.panels, out, ldy, {fetches, count});
  for (const RowRun& run : runs.rows(tile.runs)) {
    adapt(s, runs, tile, run, out + (run.rows.begin - tile.rows.begin) * ldy, ldy);
  }
  add_bias(s, down, tile, out, ldy);
}

void combine(const Stages& s, const float* y, int64_t ldy, Span rows) {
  for (int64_t row = rows.begin; row < rows.end; ++row) {
    float* out = s.call.y + row * s.call.ldy;
    std::fill_n(out, s.base.hidden, 0.0F);
    for (int64_t i = s.hidden.combine_begin[row]; i < s.hidden.combine_begin[row + 1]; ++i) {
      const float* part_of_row = y + s.hidden.combine[i] * ldy;
      for (int64_t c = 0; c < s.base.hidden; ++c) out[c] += part_of_row[c];
    }
  }
}

}  // namespace

void run_down(const Stages& s) {
  Workspace& workspace = s.context.workspace;
  Runs runs(workspace, s.ranges);
  int64_t most_sets = 0;
  auto tiles = workspace.list<Tile>();
  const int64_t panels = s.base.experts.front().down.weight.panels();
  const RowList rows_of_h{static_cast<int64_t>(s.base.experts.size()), s.hidden.begin_of, s.hidden.row, s.hidden.range,
                          s.hidden.set};
  for_each_tile(workspace, &runs, rows_of_h, divide_up(panels, panel_tile), [&](const RowTile& rows, int64_t block) {
    if (block == 0) most_sets = std::max(most_sets, runs.sets(rows.runs));
    tiles.push_back({rows, part(block, panel_tile, panels)});
  });
  const int64_t ldy = s.hidden.identity ? s.call.ldy : row_stride(s.base.hidden, sizeof(float));
  float* y = s.hidden.identity ? s.call.y : workspace.take<float>(s.hidden.count * ldy);
  auto* fetches = workspace.take<kernels::Fetch>(most_sets * s.context.team.size());
  s.context.team.run(static_cast<int64_t>(tiles.size()), [&](int64_t index, int worker) {
    run_tile(s, runs, tiles[static_cast<size_t>(index)], fetches + worker * most_sets, y, ldy);
  });

  const int64_t rows = s.call.rows;
  const bool overflow = std::any_of(s.ranges.begin(), s.ranges.end(),
                                    [](const RangeWork& range) { return range.pairs.overflow_weight != nullptr; });
  if (s.hidden.identity && !overflow) return;
  constexpr int64_t combine_rows = 8;
  s.context.team.run(divide_up(rows, combine_rows), [&](int64_t index, int) {
    const Span span = part(index, combine_rows, rows);
    if (!s.hidden.identity) combine(s, y, ldy, span);
    if (!overflow) return;
    for (const RangeWork& range : s.ranges) {
      for (int64_t row = std::max(span.begin, range.begin); row < std::min(span.end, range.begin + range.rows); ++row) {
        add_overflow(s, range, row, {0, s.base.hidden}, s.call.y + row * s.call.ldy);
      }
    }
  });
}

}  // namespace moxie::moe
