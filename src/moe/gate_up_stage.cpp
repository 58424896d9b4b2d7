// Stage 1: h = weight * act(gate) * up for a tile of entries and a block of ffn columns, while gate and up are in
// cache.
#include <algorithm>

#include "moe/stages.h"

namespace moxie::moe {
namespace {

// Where the tile is, and its memory: each [row_tile][column_block] float32.
struct Tile {
  int64_t expert = 0;
  Span entries{0, 0};
  int64_t block = 0;  // column block
  Span panels{0, 0};
  int64_t first = 0;    // first column
  int64_t width = 0;    // columns, padding included
  int64_t columns = 0;  // columns that exist
  float* gate = nullptr;
  float* up = nullptr;
  float* set_gate = nullptr;
  float* set_up = nullptr;
  float* h = nullptr;
  float* sum = nullptr;
  float* z = nullptr;  // gathered z
};

constexpr int64_t tile_floats = row_tile * column_block;

void add_bias(const Linear& linear, const Tile& tile, int64_t rows, float* values) {
  if (linear.bias.empty()) return;
  const float* bias = linear.bias.data() + tile.first;
  for (int64_t i = 0; i < rows; ++i) {
    for (int64_t c = 0; c < tile.columns; ++c) values[i * column_block + c] += bias[c];
  }
}

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

// The down projection's z of one block, for rows of h that stand at z rows [z_row, z_row + rows).
void partial_z(const Stages& s, const RangeWork& range, const Tile& tile, int32_t set, const float* h, int64_t rows,
               int64_t z_row) {
  if (range.down == nullptr) return;
  const adapter::LoraSets& sets = *range.down;
  const kernels::PackedMatrix& a = sets.a_of_set.empty() ? sets.a : sets.a_of_set[static_cast<size_t>(set)];
  const int64_t ldz = range.down_input.ldz;
  kernels::Matmul call;
  call.a = h;
  call.lda = column_block;
  call.rows = rows;
  call.w = &a;
  call.panel_end = a.panels();
  call.k_begin = tile.first;
  call.k_end = tile.first + tile.columns;
  call.c = range.z_partial + (tile.block * range.z_rows + z_row) * ldz;
  call.ldc = ldz;
  s.context.matmul(MOX_F32, call);

  if (range.down_router.router == nullptr || range.down_router.given != nullptr) return;
  const adapter::Router& router = *range.down_router.router;
  s.context.small().router(h, column_block, rows, router.gate.data() + tile.first, router.in, router.experts,
                           tile.columns, range.logits_partial + (tile.block * range.rows + z_row) * router.experts,
                           router.experts);
}

void activate(const Stages& s, const RangeWork& range, const Tile& tile, const float* gate, const float* up,
              float weight, float* h) {
  s.context.small().activate(activation_of(s, range), gate, s.base.gated ? up : nullptr, weight, tile.width, h, false);
}

// Rows [begin, end) of the tile: no adapter, LoRA, DoRA or plug-in experts. All take the same road.
void one_set(const Stages& s, const RangeWork& range, const Tile& tile, Span rows) {
  const Expert& expert = s.base.experts[static_cast<size_t>(tile.expert)];
  const int64_t first_row = s.entries.row[tile.entries.begin + rows.begin] - range.begin;
  float* gate = tile.gate + rows.begin * column_block;
  float* up = tile.up + rows.begin * column_block;
  const Span range_rows{first_row, first_row + rows.size()};
  if (range.gate.any())
    add_lora(s.context, range.gate, 0, nullptr, range_rows, tile.panels, nullptr, gate, column_block);
  if (range.up.any()) add_lora(s.context, range.up, 0, nullptr, range_rows, tile.panels, nullptr, up, column_block);
  add_bias(expert.gate, tile, rows.size(), gate);
  add_bias(expert.up, tile, rows.size(), up);
  for (int64_t i = 0; i < rows.size(); ++i) {
    const int64_t entry = tile.entries.begin + rows.begin + i;
    float* h = tile.h + i * column_block;
    activate(s, range, tile, gate + i * column_block, up + i * column_block, s.entries.weight[entry], h);
    store_h(s, tile, h, s.hidden.first_of[entry]);
  }
  partial_z(s, range, tile, 0, tile.h, rows.size(), first_row);
}

// Rows [begin, end) of the tile under MixLoRA: for each expert, in ascending order, the rows that chose it.
void expert_sets(const Stages& s, const RangeWork& range, const Tile& tile, Span rows) {
  const Expert& base = s.base.experts[static_cast<size_t>(tile.expert)];
  const auto first_row = static_cast<int32_t>(s.entries.row[tile.entries.begin + rows.begin] - range.begin);
  const auto end_row = static_cast<int32_t>(first_row + rows.size());
  const Pairs& pairs = range.pairs;
  const bool apart = range.keeps_pairs_apart();
  std::fill_n(tile.sum + rows.begin * column_block, rows.size() * column_block, 0.0F);

  for (int32_t e = 0; e < range.router.settings.experts; ++e) {
    const int32_t* of_expert = pairs.row + pairs.begin_of[e];
    const int32_t* of_expert_end = pairs.row + pairs.begin_of[e + 1];
    const int32_t* lower = std::lower_bound(of_expert, of_expert_end, first_row);
    const int32_t* upper = std::lower_bound(lower, of_expert_end, end_row);
    if (lower == upper) continue;
    const Span here{lower - pairs.row, upper - pairs.row};
    for (int64_t i = 0; i < here.size(); ++i) {
      const int64_t from = (rows.begin + pairs.row[here.begin + i] - first_row) * column_block;
      std::copy_n(tile.gate + from, tile.width, tile.set_gate + i * column_block);
      if (s.base.gated) std::copy_n(tile.up + from, tile.width, tile.set_up + i * column_block);
    }
    if (range.gate.any()) {
      add_lora(s.context, range.gate, e, pairs.row, here, tile.panels, tile.z, tile.set_gate, column_block);
    }
    if (range.up.any()) {
      add_lora(s.context, range.up, e, pairs.row, here, tile.panels, tile.z, tile.set_up, column_block);
    }
    add_bias(base.gate, tile, here.size(), tile.set_gate);
    add_bias(base.up, tile, here.size(), tile.set_up);
    for (int64_t i = 0; i < here.size(); ++i) {
      const int64_t pair = here.begin + i;
      float* h = tile.h + i * column_block;
      activate(s, range, tile, tile.set_gate + i * column_block, tile.set_up + i * column_block, pairs.weight[pair], h);
      if (apart) {
        store_h(s, tile, h, s.hidden.first_pair_of[s.entries.range[tile.entries.begin + rows.begin]] + pair);
      } else {
        float* sum = tile.sum + (rows.begin + pairs.row[pair] - first_row) * column_block;
        for (int64_t c = 0; c < tile.width; ++c) sum[c] += h[c];
      }
    }
    partial_z(s, range, tile, e, tile.h, here.size(), here.begin);
  }
  if (apart) return;
  for (int64_t i = rows.begin; i < rows.end; ++i) {
    store_h(s, tile, tile.sum + i * column_block, s.hidden.first_of[tile.entries.begin + i]);
  }
}

void run_tile(const Stages& s, const Tile& tile) {
  const Expert& expert = s.base.experts[static_cast<size_t>(tile.expert)];
  multiply(s.context, s.x, expert.gate.weight, tile.entries, tile.panels, tile.gate, column_block);
  if (s.base.gated) multiply(s.context, s.x, expert.up.weight, tile.entries, tile.panels, tile.up, column_block);
  const int64_t rows = tile.entries.size();
  for (int64_t begin = 0; begin < rows;) {
    const int32_t r = s.entries.range[tile.entries.begin + begin];
    int64_t end = begin + 1;
    while (end < rows && s.entries.range[tile.entries.begin + end] == r) ++end;
    const RangeWork& range = s.ranges[static_cast<size_t>(r)];
    if (range.mixlora()) {
      expert_sets(s, range, tile, {begin, end});
    } else {
      one_set(s, range, tile, {begin, end});
    }
    begin = end;
  }
}

int64_t widest_rank(const Stages& s) {
  int64_t rank = 0;
  for (const RangeWork& range : s.ranges) {
    if (range.gate.any()) rank = std::max<int64_t>(rank, range.gate.sets->rank);
    if (range.up.any()) rank = std::max<int64_t>(rank, range.up.sets->rank);
  }
  return rank;
}

}  // namespace

void run_gate_up(Stages& s) {
  Workspace& workspace = s.context.workspace;
  const int64_t stride = padded(s.base.ffn);
  const auto element = static_cast<int64_t>(element_size(s.base.weights()));
  s.h = {workspace.take<std::byte>(s.hidden.count * stride * element), stride};

  auto tiles = workspace.list<Tile>();
  const int64_t panels = s.base.experts.front().gate.weight.panels();
  for (size_t e = 0; e < s.base.experts.size(); ++e) {
    const int64_t begin = s.entries.begin_of[e];
    const int64_t count = s.entries.begin_of[e + 1] - begin;
    if (count == 0) continue;
    for (int64_t b = 0; b < divide_up(panels, panel_tile); ++b) {
      for (int64_t t = 0; t < divide_up(count, row_tile); ++t) {
        Tile tile;
        tile.expert = static_cast<int64_t>(e);
        const Span rows = part(t, row_tile, count);
        tile.entries = {begin + rows.begin, begin + rows.end};
        tile.block = b;
        tile.panels = part(b, panel_tile, panels);
        tile.first = b * column_block;
        tile.width = tile.panels.size() * kernels::panel_width;
        tile.columns = std::min(tile.width, s.base.ffn - tile.first);
        tiles.push_back(tile);
      }
    }
  }
  const int64_t z_floats = row_tile * widest_rank(s);
  const int64_t floats = 6 * tile_floats + round_up(z_floats, 16);
  auto* scratch = workspace.take<float>(floats * s.context.team.size());
  s.context.team.run(static_cast<int64_t>(tiles.size()), [&](int64_t index, int worker) {
    Tile tile = tiles[static_cast<size_t>(index)];
    float* mine = scratch + worker * floats;
    for (float** buffer : {&tile.gate, &tile.up, &tile.set_gate, &tile.set_up, &tile.h, &tile.sum}) {
      *buffer = mine;
      mine += tile_floats;
    }
    tile.z = mine;
    run_tile(s, tile);
  });
}

void finish_down_inputs(const Stages& s) {
  const int64_t blocks = divide_up(s.base.ffn, column_block);
  struct Task {
    RangeWork* range;
    Span rows;
  };
  auto tasks = s.context.workspace.list<Task>();
  for (RangeWork& range : s.ranges) {
    if (range.down == nullptr) continue;
    for (int64_t i = 0; i < divide_up(range.z_rows, row_tile); ++i) {
      tasks.push_back({&range, part(i, row_tile, range.z_rows)});
    }
  }
  s.context.team.run(static_cast<int64_t>(tasks.size()), [&](int64_t index, int) {
    const Task& task = tasks[static_cast<size_t>(index)];
    const RangeWork& range = *task.range;
    auto sum_blocks = [&](const float* partial, int64_t width, float* sum) {
      for (int64_t i = task.rows.begin * width; i < task.rows.end * width; ++i) {
        float total = partial[i];
        for (int64_t b = 1; b < blocks; ++b) total += partial[b * range.z_rows * width + i];
        sum[i] = total;
      }
    };
    sum_blocks(range.z_partial, range.down_input.ldz, range.down_input.z);
    if (range.down_router.router != nullptr) {
      if (range.down_router.given == nullptr) {
        sum_blocks(range.logits_partial, range.down_router.settings.experts, range.down_router.logits);
      }
      decide_rows(range.down_router, task.rows);
    }
    weigh(range.down_input, task.rows);
  });
}

}  // namespace moxie::moe
