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

void add_bias(const Stages& s, const Tile& tile, Span rows, float* y, int64_t ldy) {
  const Linear& down = s.base.experts[static_cast<size_t>(tile.expert)].down;
  if (down.bias.empty()) return;
  const int64_t first = tile.panels.begin * kernels::panel_width;
  const int64_t columns = std::min(tile.panels.end * kernels::panel_width, s.base.hidden) - first;
  for (int64_t q = rows.begin; q < rows.end; ++q) {
    float* row = y + (q - rows.begin) * ldy;
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

// Calls visit(panels) for the factors that a run needs of a tile's columns, in the order of use.
template <typename Visit>
void for_each_factor(const Runs& runs, const Tile& tile, const RowRun& run, Visit&& visit) {
  runs.for_each_set(run, [&](const RangeWork& range, int32_t set) {
    if (range.down != nullptr) visit(range.down->b.panels_of(set, tile.panels.begin, tile.panels.end));
  });
}

// Where the products go.
struct Output {
  float* y;
  int64_t ldy;
  [[nodiscard]] float* at(const Tile& tile, int64_t row) const {
    return y + row * ldy + tile.panels.begin * kernels::panel_width;
  }
};

void run_rows(const Stages& s, const Runs& runs, const Tile& tile, const RowRun& run, const Output& out) {
  float* y = out.at(tile, run.rows.begin);
  adapt(s, runs, tile, run, y, out.ldy);
  add_bias(s, tile, run.rows, y, out.ldy);
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
  auto tiles = workspace.list<Tile>();
  const int64_t panels = s.base.experts.front().down.weight.panels();
  const RowList rows_of_h{static_cast<int64_t>(s.base.experts.size()), s.hidden.begin_of, s.hidden.row, s.hidden.range,
                          s.hidden.set};
  for_each_tile(workspace, &runs, rows_of_h, divide_up(panels, panel_tile), [&](const RowTile& rows, int64_t block) {
    tiles.push_back({rows, part(block, panel_tile, panels)});
  });
  Output out{s.call.y, s.call.ldy};
  if (!s.hidden.identity) {
    out.ldy = row_stride(s.base.hidden, sizeof(float));
    out.y = workspace.take<float>(s.hidden.count * out.ldy);
  }
  const auto factors = [&runs](const Tile& tile, const RowRun& run, auto&& visit) {
    for_each_factor(runs, tile, run, visit);
  };
  const auto finish = [&](const Tile& tile, const RowRun& run) { run_rows(s, runs, tile, run, out); };
  auto* last = last_tiles<Tile>(s.context, runs, tiles, factors);
  s.context.team.run(static_cast<int64_t>(tiles.size()), [&](int64_t index, int worker) {
    const Tile& tile = tiles[static_cast<size_t>(index)];
    const kernels::PackedMatrix& weight = s.base.experts[static_cast<size_t>(tile.expert)].down.weight;
    const auto product = [&](Pending& pending, auto&& work) {
      pending.finish_during(pending.size(), work, [&](const kernels::Meanwhile& meanwhile) {
        multiply(s.context, s.h, weight, tile.rows, tile.panels, out.at(tile, tile.rows.begin), out.ldy, meanwhile);
      });
    };
    last[worker].advance(tile, runs, factors, product, finish);
  });
  s.context.team.run(s.context.team.size(), [&](int64_t worker, int) { last[worker].finish(finish); });

  const int64_t rows = s.call.rows;
  const bool overflow = std::any_of(s.ranges.begin(), s.ranges.end(),
                                    [](const RangeWork& range) { return range.pairs.overflow_weight != nullptr; });
  if (s.hidden.identity && !overflow) return;
  constexpr int64_t combine_rows = 8;
  s.context.team.run(divide_up(rows, combine_rows), [&](int64_t index, int) {
    const Span span = part(index, combine_rows, rows);
    if (!s.hidden.identity) combine(s, out.y, out.ldy, span);
    if (!overflow) return;
    for (const RangeWork& range : s.ranges) {
      for (int64_t row = std::max(span.begin, range.begin); row < std::min(span.end, range.begin + range.rows); ++row) {
        add_overflow(s, range, row, {0, s.base.hidden}, s.call.y + row * s.call.ldy);
      }
    }
  });
}

}  // namespace moxie::moe
