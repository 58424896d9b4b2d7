// Stage 1: h = weight * act(gate) * up for a tile of entries and a block of ffn columns, while gate and up are in
// cache.
#include <algorithm>

#include "moe/down_inputs.h"
#include "moe/stages.h"

namespace moxie::moe {
namespace {

// Where the tile is, and its memory: each [rows][width] float32.
struct Tile : RowTile {
  Span blocks{0, 0};  // column blocks
  Span panels{0, 0};
  int64_t first = 0;    // first column
  int64_t width = 0;    // columns, padding included
  int64_t columns = 0;  // columns that exist
  float* gate = nullptr;
  float* up = nullptr;
  float* set_gate = nullptr;
  float* set_up = nullptr;
  float* sum = nullptr;
};

void store_h(const Stages& s, const Tile& tile, const float* values, int64_t h_row) {
  if (s.base.weights() == MOX_BF16) {
    s.context.small().to_bfloat16(values, tile.width,
                                  static_cast<bfloat16*>(s.h.rows) + h_row * s.h.stride + tile.first);
  } else {
    std::copy_n(values, tile.width, static_cast<float*>(s.h.rows) + h_row * s.h.stride + tile.first);
  }
}

mox_activation activation_of(const Stages& s, const RangeWork& range) {
  const bool own = range.adapter != nullptr && range.adapter->activation != MOX_ACTIVATION_BASE;
  return own ? range.adapter->activation : s.base.activation;
}

void keep_h(const RangeWork& range, const Tile& tile, const float* h, int64_t rows, int64_t kept_row) {
  float* kept = range.down_h.rows + kept_row * range.down_h.ld + tile.first;
  for (int64_t i = 0; i < rows; ++i) std::copy_n(h + i * tile.width, tile.width, kept + i * range.down_h.ld);
}

// The down projection's z of one block, for rows of h that stand at a set's rows of z. Sets with few rows wait for the
// whole of h.
void partial_z(const Stages& s, const RangeWork& range, const Tile& tile, const SetRows& set, const float* h) {
  if (range.down == nullptr) return;
  const LoraInput& input = range.down_input;
  if (input.has_deltas(set.set)) {
    keep_h(range, tile, h, set.z_rows.size(), input.delta_of(set.set, set.z_rows.begin));
  } else {
    shrink_blocks(s.context, range, {set.set, set.z_rows, {0, input.sets->a.panels()}}, tile.blocks,
                  {h, tile.width, nullptr});
  }
}

// The same of the logits of plug-in experts, which choose by the whole of h.
void partial_logits(const Stages& s, const RangeWork& range, const Tile& tile, const float* h, const RowRun& run) {
  if (range.down_router.router == nullptr || range.down_router.given != nullptr) return;
  const adapter::Router& router = *range.down_router.router;
  for (int64_t block = tile.blocks.begin; block < tile.blocks.end; ++block) {
    const int64_t column = block * column_block - tile.first;
    s.context.small().router(h + column, tile.width, run.rows.size(), router.gate_row(0) + tile.first + column,
                             router.in, router.experts, std::min(column_block, tile.columns - column),
                             range.logits_partial + (block * range.rows + run.first_row) * router.experts,
                             router.experts);
  }
}

// A row of gate becomes one of h: memory of its own would have left the cache during the products.
void activate(const Stages& s, const RangeWork& range, const Tile& tile, float* gate, const float* up, float weight) {
  s.context.small().activate(activation_of(s, range), gate, s.base.gated ? up : nullptr, weight, tile.width, gate,
                             false);
}

// Rows of a run: no adapter, LoRA, DoRA or plug-in experts. All take the same road.
void one_output(const Stages& s, const Runs& runs, const RangeWork& range, const Tile& tile, const RowRun& run) {
  const Expert& expert = s.base.experts[static_cast<size_t>(tile.expert)];
  const int64_t begin = run.rows.begin - tile.rows.begin, rows = run.rows.size();
  float* gate = tile.gate + begin * tile.width;
  float* up = tile.up + begin * tile.width;
  const auto add = [&](const LoraInput& input, Span sets, float* values) {
    for (const SetRows& set : runs.sets(sets)) {
      add_lora(s.context, input, set, run.first_row, tile.panels, values, tile.width);
    }
  };
  add(range.gate, run.gate, gate);
  add(range.up, run.up, up);
  add_bias(s.context, expert.gate, tile.first, tile.columns, rows, gate, tile.width);
  add_bias(s.context, expert.up, tile.first, tile.columns, rows, up, tile.width);
  for (int64_t i = 0; i < rows; ++i) {
    const int64_t entry = run.rows.begin + i;
    float* h = gate + i * tile.width;
    activate(s, range, tile, h, up + i * tile.width, s.entries.weight[entry]);
    store_h(s, tile, h, s.hidden.first_of[entry]);
  }
  if (range.down_input.waits()) keep_h(range, tile, gate, rows, run.first_row);
  for (const SetRows& set : runs.sets(run.down)) partial_z(s, range, tile, set, gate);
  partial_logits(s, range, tile, gate, run);
}

// values[i] = the base's row of pair i under its expert's factors.
void expert_rows(const Stages& s, const RangeWork& range, const LoraInput& input, const Tile& tile, const RowRun& run,
                 const SetRows& pairs, const Linear& linear, const float* base, float* values) {
  LoraRows rows;
  rows.from = base + (run.rows.begin - tile.rows.begin) * tile.width;
  rows.ld_from = tile.width;
  rows.from_rows = range.pairs.row + pairs.z_rows.begin;
  rows.first_row = run.first_row;
  rows.to = values;
  rows.ld_to = tile.width;
  const int64_t count = pairs.z_rows.size();
  if (input.any()) {
    add_lora(s.context, input, pairs.set, pairs.z_rows, tile.panels, rows);
  } else {
    for (int64_t i = 0; i < count; ++i) {
      std::copy_n(rows.from + (rows.from_rows[i] - rows.first_row) * tile.width, tile.width, values + i * tile.width);
    }
  }
  add_bias(s.context, linear, tile.first, tile.columns, count, values, tile.width);
}

// Rows of a run under MixLoRA: for each expert, in ascending order, the rows that chose it.
void expert_sets(const Stages& s, const Runs& runs, const RangeWork& range, const Tile& tile, const RowRun& run) {
  const Expert& base = s.base.experts[static_cast<size_t>(tile.expert)];
  const int64_t begin = run.rows.begin - tile.rows.begin;
  const Pairs& pairs = range.pairs;
  const bool apart = range.keeps_pairs_apart();
  if (!apart) std::fill_n(tile.sum + begin * tile.width, run.rows.size() * tile.width, 0.0F);

  for (const SetRows& chosen : runs.sets(run.gate)) {
    expert_rows(s, range, range.gate, tile, run, chosen, base.gate, tile.gate, tile.set_gate);
    if (s.base.gated) expert_rows(s, range, range.up, tile, run, chosen, base.up, tile.up, tile.set_up);
    for (int64_t i = 0; i < chosen.z_rows.size(); ++i) {
      const int64_t pair = chosen.z_rows.begin + i;
      float* h = tile.set_gate + i * tile.width;
      activate(s, range, tile, h, tile.set_up + i * tile.width, pairs.weight[pair]);
      if (apart) {
        store_h(s, tile, h, s.hidden.first_pair_of[run.range] + pair);
      } else {
        float* sum = tile.sum + (begin + pairs.row[pair] - run.first_row) * tile.width;
        s.context.small().add(sum, h, tile.width, sum);
      }
    }
    partial_z(s, range, tile, chosen, tile.set_gate);
  }
  if (apart) return;
  for (int64_t i = 0; i < run.rows.size(); ++i) {
    store_h(s, tile, tile.sum + (begin + i) * tile.width, s.hidden.first_of[run.rows.begin + i]);
  }
}

// Calls visit for the factors that a run needs of a tile's columns, in the order of use.
template <typename Visit>
void for_each_need(const Stages& s, const Runs& runs, const Tile& tile, const RowRun& run, Visit&& visit) {
  const RangeWork& range = s.ranges[static_cast<size_t>(run.range)];
  const auto b = [&](const LoraInput& input, int32_t set) {
    if (!input.any() || input.has_deltas(set)) return;
    visit(input.sets->b.fetch(set, tile.panels.begin, tile.panels.end));
  };
  const auto a_of_down = [&](int32_t set) {
    if (range.down == nullptr || range.down_input.has_deltas(set)) return;
    for (int64_t p = 0; p < range.down->a.panels(); ++p) {
      visit(range.down->a.fetch_columns(set, p, tile.first, tile.columns));
    }
  };
  if (range.mixlora()) {
    for (const SetRows& set : runs.sets(run.gate)) {
      b(range.gate, set.set);
      b(range.up, set.set);
      a_of_down(set.set);
    }
  } else {
    for (const SetRows& set : runs.sets(run.gate)) b(range.gate, set.set);
    for (const SetRows& set : runs.sets(run.up)) b(range.up, set.set);
    for (const SetRows& set : runs.sets(run.down)) a_of_down(set.set);
  }
}

void run_rows(const Stages& s, const Runs& runs, const Tile& tile, const RowRun& run) {
  const RangeWork& range = s.ranges[static_cast<size_t>(run.range)];
  if (range.mixlora()) {
    expert_sets(s, runs, range, tile, run);
  } else {
    one_output(s, runs, range, tile, run);
  }
}

// after: the weights that the worker will read next.
template <typename Work>
void multiply_during(const Stages& s, const Tile& tile, const void* after, Pending& pending, Work&& work) {
  const Expert& expert = s.base.experts[static_cast<size_t>(tile.expert)];
  const auto during = [&](int64_t end, const kernels::PackedMatrix& weight, float* to, const void* next) {
    pending.finish_during(end, work, [&](const kernels::Meanwhile& meanwhile) {
      multiply(s.context, s.x, weight, tile.rows, tile.panels, {to, tile.width, next}, meanwhile);
    });
  };
  if (!s.base.gated) {
    during(pending.size(), expert.gate.weight, tile.gate, after);
    return;
  }
  during(pending.size() / 2, expert.gate.weight, tile.gate, expert.up.weight.panel(tile.panels.begin));
  during(pending.size(), expert.up.weight, tile.up, after);
}

Tile tile_of(const Stages& s, const RowTile& rows, Span blocks) {
  Tile tile{rows};
  tile.blocks = blocks;
  tile.panels = {blocks.begin * panel_tile,
                 std::min(blocks.end * panel_tile, s.base.experts.front().gate.weight.panels())};
  tile.first = blocks.begin * column_block;
  tile.width = tile.panels.size() * kernels::panel_width;
  tile.columns = std::min(tile.width, s.base.ffn - tile.first);
  return tile;
}

// Column blocks of one task. Deltas, and rows of h that are kept, are memory that nobody else has touched since: each
// row of them is longer where a task has more columns. What the products make must still stay in the second-level
// cache.
int64_t blocks_of_task(const Stages& s, std::span<const RowTile> tiles, int64_t blocks) {
  const bool any = std::any_of(s.ranges.begin(), s.ranges.end(), [](const RangeWork& range) {
    return range.gate.deltas.count + range.up.deltas.count + range.down_input.deltas.count != 0;
  });
  if (!any) return 1;
  constexpr int64_t most = 4;
  constexpr int64_t bytes = int64_t{256} << 10;  // of gate and up
  constexpr auto row_bytes = static_cast<int64_t>(2 * column_block * sizeof(float));
  const auto parts = static_cast<int64_t>(tiles.size()) * blocks / (int64_t{4} * s.context.team.size());
  return std::clamp<int64_t>(std::min(bytes / (row_bytes * std::max<int64_t>(rows_of_largest(tiles), 1)), parts), 1,
                             most);
}

struct Task {
  int32_t tile, first_block;
};

// Expert by expert, and in an expert from left to right, so that its weights are read once. together: column blocks of
// each.
std::pmr::vector<Task> make_tasks(const Stages& s, std::span<const RowTile> tiles, int64_t blocks, int64_t together) {
  auto tasks = s.context.workspace.list<Task>();
  tasks.reserve(tiles.size() * static_cast<size_t>(divide_up(blocks, together)));
  for (size_t begin = 0; begin < tiles.size();) {
    size_t end = begin + 1;
    while (end < tiles.size() && tiles[end].expert == tiles[begin].expert) ++end;
    for (int64_t block = 0; block < blocks; block += together) {
      for (size_t i = begin; i < end; ++i) tasks.push_back({static_cast<int32_t>(i), static_cast<int32_t>(block)});
    }
    begin = end;
  }
  return tasks;
}

// One worker's memory.
struct Buffers {
  float* gate_up[2];  // [2][tile] each: of the tile that is multiplied, and of the last one where that is unfinished
  float* others;      // [3][tile]
  void lend(Tile* tile) const {
    const int64_t tile_floats = tile->rows.size() * tile->width;
    tile->gate = gate_up[0];
    tile->up = tile->gate + tile_floats;
    float* memory = others;
    for (float** buffer : {&tile->set_gate, &tile->set_up, &tile->sum}) {
      *buffer = memory;
      memory += tile_floats;
    }
  }
};

}  // namespace

void run_gate_up(Stages& s) {
  Workspace& workspace = s.context.workspace;
  const int64_t stride = row_stride(s.base.ffn, element_size(s.base.weights()));
  const auto element = static_cast<int64_t>(element_size(s.base.weights()));
  s.h = {workspace.take<std::byte>(s.hidden.count * stride * element), stride};

  Runs runs(workspace, s.ranges);
  const RowList entries{static_cast<int64_t>(s.base.experts.size()), s.entries.begin_of, s.entries.row, s.entries.range,
                        nullptr};
  const auto tiles = row_tiles(workspace, &runs, entries);
  const int64_t blocks = divide_up(s.base.experts.front().gate.weight.panels(), panel_tile);
  const int64_t together = blocks_of_task(s, tiles, blocks);
  const auto tasks = make_tasks(s, tiles, blocks, together);
  const auto needs = [&](const Tile& tile, const RowRun& run, auto&& visit) {
    for_each_need(s, runs, tile, run, visit);
  };
  const auto finish = [&](const Tile& tile, const RowRun& run) { run_rows(s, runs, tile, run); };
  auto* last = last_tiles(s.context, runs, tiles, tile_of(s, {}, {0, together}), needs);
  auto* buffers = workspace.take<Buffers>(s.context.team.size());
  const int64_t tile_floats = rows_of_largest(tiles) * together * column_block;
  for (int i = 0; i < s.context.team.size(); ++i) {
    for (float*& memory : buffers[i].gate_up) memory = workspace.take<float>(2 * tile_floats);
    buffers[i].others = workspace.take<float>(3 * tile_floats);
  }
  const auto count = static_cast<int64_t>(tasks.size());
  s.context.team.run(count, [&](int64_t index, int worker) {
    const Task& task = tasks[static_cast<size_t>(index)];
    Tile tile = tile_of(s, tiles[static_cast<size_t>(task.tile)],
                        {task.first_block, std::min(task.first_block + together, blocks)});
    buffers[worker].lend(&tile);
    // Tasks are taken in turns, more or less.
    const Task& later = tasks[static_cast<size_t>(std::min(index + s.context.team.size(), count - 1))];
    const RowTile& later_tile = tiles[static_cast<size_t>(later.tile)];
    const Expert& later_expert = s.base.experts[static_cast<size_t>(later_tile.expert)];
    const void* after = later_expert.gate.weight.panel(later.first_block * panel_tile);
    const kernels::Fetch rows =
        later.tile == task.tile ? kernels::Fetch{} : s.x.fetch(later_tile.rows, s.base.weights());
    const auto products = [&](Pending& pending, auto&& work) { multiply_during(s, tile, after, pending, work); };
    if (last[worker].advance(tile, runs, rows, needs, products, finish)) {
      std::swap(buffers[worker].gate_up[0], buffers[worker].gate_up[1]);
    }
  });
  s.context.team.run(s.context.team.size(), [&](int64_t worker, int) { last[worker].finish(finish); });
}

}  // namespace moxie::moe
