// Stage 3: y = sum over experts of W2 h + B2 z2, for a tile of h rows and a block of hidden columns.
#include <algorithm>

#include "moe/stages.h"

namespace moxie::moe {
namespace {

struct Tile {
  int64_t expert = 0;
  Span rows{0, 0};  // h rows
  Span panels{0, 0};
};

// h rows [rows) that are rows of one MixLoRA range: each expert's addition, in ascending order.
// scratch: [row_tile][column_block], one expert's.
void add_expert_deltas(const Stages& s, const RangeWork& range, const Tile& tile, Span rows, float* scratch, float* y,
                       int64_t ldy) {
  const Pairs& pairs = range.pairs;
  const auto first_row = static_cast<int32_t>(s.hidden.row[rows.begin] - range.begin);
  const auto end_row = static_cast<int32_t>(first_row + rows.size());
  const int64_t rank = range.down->rank;
  const int64_t width = tile.panels.size() * kernels::panel_width;
  for (int32_t e = 0; e < range.router.settings.experts; ++e) {
    const int32_t* of_expert = pairs.row + pairs.begin_of[e];
    const int32_t* of_expert_end = pairs.row + pairs.begin_of[e + 1];
    const int32_t* lower = std::lower_bound(of_expert, of_expert_end, first_row);
    const int32_t* upper = std::lower_bound(lower, of_expert_end, end_row);
    if (lower == upper) continue;
    const int64_t pair = lower - pairs.row;
    const int64_t count = upper - lower;
    kernels::Matmul call;
    call.a = range.down_input.z + pair * range.down_input.ldz;
    call.lda = range.down_input.ldz;
    call.rows = count;
    call.w = &range.down->b[static_cast<size_t>(e)];
    call.panel_begin = tile.panels.begin;
    call.panel_end = tile.panels.end;
    call.k_end = rank;
    call.c = scratch;
    call.ldc = column_block;
    s.context.matmul(MOX_F32, call);
    for (int64_t i = 0; i < count; ++i) {
      float* to = y + (lower[i] - first_row) * ldy;
      const float* from = scratch + i * column_block;
      for (int64_t c = 0; c < width; ++c) to[c] += from[c];
    }
  }
}

// h rows [rows) of one range and, where pairs are kept apart, of one expert.
void adapt(const Stages& s, const RangeWork& range, const Tile& tile, Span rows, int32_t set, float* scratch, float* y,
           int64_t ldy) {
  if (range.down == nullptr) return;
  if (!range.mixlora()) {
    const int64_t first = s.hidden.row[rows.begin] - range.begin;
    add_lora(s.context, range.down_input, 0, nullptr, {first, first + rows.size()}, tile.panels, nullptr, y, ldy);
  } else if (set >= 0) {
    const int64_t pair = rows.begin - s.hidden.first_pair_of[s.hidden.range[rows.begin]];
    // The sets share no input here, so every set's z stands at the front of its pair's row.
    LoraInput input = range.down_input;
    input.z += pair * input.ldz - static_cast<int64_t>(set) * range.down->rank;
    add_lora(s.context, input, set, nullptr, {0, rows.size()}, tile.panels, nullptr, y, ldy);
  } else {
    add_expert_deltas(s, range, tile, rows, scratch, y, ldy);
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

void run_tile(const Stages& s, const Tile& tile, float* scratch, float* y, int64_t ldy) {
  const Linear& down = s.base.experts[static_cast<size_t>(tile.expert)].down;
  float* out = y + tile.rows.begin * ldy + tile.panels.begin * kernels::panel_width;
  multiply(s.context, s.h, down.weight, tile.rows, tile.panels, out, ldy);

  for (int64_t begin = tile.rows.begin; begin < tile.rows.end;) {
    const int32_t r = s.hidden.range[begin];
    const int32_t set = s.hidden.set[begin];
    int64_t end = begin + 1;
    while (end < tile.rows.end && s.hidden.range[end] == r && s.hidden.set[end] == set) ++end;
    adapt(s, s.ranges[static_cast<size_t>(r)], tile, {begin, end}, set, scratch, out + (begin - tile.rows.begin) * ldy,
          ldy);
    begin = end;
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
  auto tiles = workspace.list<Tile>();
  const int64_t panels = s.base.experts.front().down.weight.panels();
  for (size_t e = 0; e < s.base.experts.size(); ++e) {
    const int64_t begin = s.hidden.begin_of[e];
    const int64_t count = s.hidden.begin_of[e + 1] - begin;
    for (int64_t b = 0; b < divide_up(panels, panel_tile); ++b) {
      for (int64_t t = 0; t < divide_up(count, row_tile); ++t) {
        const Span rows = part(t, row_tile, count);
        tiles.push_back({static_cast<int64_t>(e), {begin + rows.begin, begin + rows.end}, part(b, panel_tile, panels)});
      }
    }
  }
  const int64_t ldy = s.hidden.identity ? s.call.ldy : padded(s.base.hidden);
  float* y = s.hidden.identity ? s.call.y : workspace.take<float>(s.hidden.count * ldy);
  const int64_t floats = row_tile * column_block;
  auto* scratch = workspace.take<float>(floats * s.context.team.size());
  s.context.team.run(static_cast<int64_t>(tiles.size()), [&](int64_t index, int worker) {
    run_tile(s, tiles[static_cast<size_t>(index)], scratch + worker * floats, y, ldy);
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
