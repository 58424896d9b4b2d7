#include "moe/linears.h"

#include <algorithm>
#include <cstddef>

#include "moe/lora_delta.h"

namespace moxie::moe {

ProductInput product_input(Workspace& workspace, DType dtype, const float* x, int64_t ldx, int64_t rows,
                           int64_t columns) {
  if (dtype == MOX_F32) return {const_cast<float*>(x), ldx};  // nobody writes to it: there is nothing to round
  const int64_t stride = row_stride(columns, sizeof(bfloat16));
  return {workspace.take<bfloat16>(rows * stride), stride};
}

void add_bias(const Context& context, const Linear& linear, int64_t first, int64_t columns, int64_t rows, float* tile,
              int64_t stride) {
  if (linear.bias.empty()) return;
  for (int64_t i = 0; i < rows; ++i, tile += stride) {
    context.small().add(tile, linear.bias.data() + first, columns, tile);
  }
}

void round_rows(const Context& context, const ProductInput& input, DType dtype, const float* x, int64_t ldx,
                int64_t columns, Span rows) {
  if (dtype == MOX_F32) return;
  auto* rounded = static_cast<bfloat16*>(input.rows);
  for (int64_t row = rows.begin; row < rows.end; ++row) {
    bfloat16* destination = rounded + row * input.stride;
    context.small().to_bfloat16(x + row * ldx, columns, destination);
    std::fill(destination + columns, destination + input.stride, bfloat16{0});
  }
}

void multiply(const Context& context, const ProductInput& x, const kernels::PackedMatrix& weight, Span rows,
              Span panels, const ProductOutput& output, const kernels::Meanwhile& meanwhile) {
  kernels::Matmul call;
  call.after = output.after;
  call.meanwhile = meanwhile;
  call.a = x.row(rows.begin, weight.dtype());
  call.lda = x.stride;
  call.rows = rows.size();
  call.w = &weight;
  call.panel_begin = panels.begin;
  call.panel_end = panels.end;
  call.k_end = weight.k();
  call.c = output.c;
  call.ldc = output.ldc;
  context.matmul(weight.dtype(), call);
}

namespace {

using Inputs = std::pmr::vector<LoraInput>;  // range by range, in it job by job

Inputs make_inputs(Workspace& workspace, std::span<const LinearJob> jobs, std::span<const LinearRange> ranges) {
  auto inputs = workspace.list<LoraInput>();
  inputs.reserve(ranges.size() * jobs.size());
  for (const LinearRange& range : ranges) {
    for (const LinearJob& job : jobs) {
      inputs.push_back(range.adapter == nullptr ? LoraInput{}
                                                : make_lora_input(workspace, job.name, range.adapter->*job.sets,
                                                                  range.begin, range.end - range.begin, nullptr));
    }
  }
  return inputs;
}

void decide(const Context& context, const Inputs& inputs) {
  struct Task {
    const LoraInput* input;
    Span rows;
  };
  auto tasks = context.workspace.list<Task>();
  for (const LoraInput& input : inputs) {
    if (!input.routes()) continue;
    for (int64_t i = 0; i < divide_up(input.rows, decision_rows); ++i) {
      tasks.push_back({&input, part(i, decision_rows, input.rows)});
    }
  }
  context.team.run(static_cast<int64_t>(tasks.size()), [&](int64_t index, int) {
    const Task& task = tasks[static_cast<size_t>(index)];
    decide_rows(task.input->router, task.rows);
    if (!task.input->waits()) weigh(*task.input, task.rows);
  });
}

// What waits for a decision, and what is made of z before it is added.
void run_late_inputs(const Context& context, const float* x, int64_t ldx, Inputs* inputs) {
  auto tasks = context.workspace.list<InputTask>();
  auto with_deltas = context.workspace.list<const LoraInput*>();
  for (LoraInput& input : *inputs) {
    if (input.waits()) {
      choose(context.workspace, &input);
      add_products(&tasks, input);
    }
    plan_deltas(context.workspace, &input);
    with_deltas.push_back(&input);
  }
  context.team.run(static_cast<int64_t>(tasks.size()),
                   [&](int64_t index, int) { run_task(context, tasks[static_cast<size_t>(index)], x, ldx); });
  make_deltas(context, with_deltas);
}

struct Tile {
  int32_t job;
  Span panels;
  Span rows;
};

std::pmr::vector<Tile> make_tiles(Workspace& workspace, std::span<const LinearJob> jobs, int64_t rows) {
  auto tiles = workspace.list<Tile>();
  for (size_t j = 0; j < jobs.size(); ++j) {
    const int64_t panels = jobs[j].linear->weight.panels();
    for (int64_t block = 0; block < divide_up(panels, panel_tile); ++block) {
      for (int64_t i = 0; i < tiles_of(rows); ++i) {
        tiles.push_back({static_cast<int32_t>(j), part(block, panel_tile, panels), tile_of_rows(i, rows)});
      }
    }
  }
  return tiles;
}

}  // namespace

void run_linears(const Context& context, const float* x, int64_t ldx, int64_t rows, std::span<const LinearJob> jobs,
                 std::span<const LinearRange> ranges, std::span<RangeRouting*> kept) {
  Workspace& workspace = context.workspace;
  const DType dtype = jobs[0].linear->weight.dtype();
  const int64_t in = jobs[0].linear->in();
  const ProductInput rounded = product_input(workspace, dtype, x, ldx, rows, in);

  Inputs inputs = make_inputs(workspace, jobs, ranges);
  auto tasks = workspace.list<InputTask>();
  for (const LoraInput& input : inputs) add_tasks(&tasks, input);
  const int64_t roundings = dtype == MOX_F32 ? 0 : divide_up(rows, copied_rows);
  const auto input_tasks = static_cast<int64_t>(tasks.size());
  context.team.run(input_tasks + roundings, [&](int64_t index, int) {
    if (index < input_tasks) {
      run_task(context, tasks[static_cast<size_t>(index)], x, ldx);
    } else {
      round_rows(context, rounded, dtype, x, ldx, in, part(index - input_tasks, copied_rows, rows));
    }
  });
  decide(context, inputs);
  run_late_inputs(context, x, ldx, &inputs);
  for (size_t r = 0; r < kept.size(); ++r) {
    for (size_t j = 0; j < jobs.size(); ++j) {
      const LoraInput& input = inputs[r * jobs.size() + j];
      if (input.routes()) append(kept[r], input.router);
    }
  }

  const auto tiles = make_tiles(workspace, jobs, rows);
  // A tile is made in memory of the worker's own: rows of y are too far apart for the first-level cache.
  auto* products = workspace.take<float>(context.team.size() * row_tile * column_block);
  context.team.run(static_cast<int64_t>(tiles.size()), [&](int64_t index, int worker) {
    const Tile& tile = tiles[static_cast<size_t>(index)];
    const LinearJob& job = jobs[static_cast<size_t>(tile.job)];
    const Linear& linear = *job.linear;
    const int64_t first = tile.panels.begin * kernels::panel_width;
    const int64_t columns = std::min(tile.panels.end * kernels::panel_width, linear.out()) - first;
    float* product = products + worker * row_tile * column_block;

    multiply(context, rounded, linear.weight, tile.rows, tile.panels, {product, column_block});
    for (size_t r = 0; r < ranges.size(); ++r) {
      const LoraInput& input = inputs[r * jobs.size() + static_cast<size_t>(tile.job)];
      const Span shared{std::max(tile.rows.begin, ranges[r].begin), std::min(tile.rows.end, ranges[r].end)};
      if (shared.size() <= 0) continue;
      const int64_t first_row = shared.begin - input.begin;
      input.for_each_set({first_row, shared.end - input.begin}, [&](const SetRows& set) {
        add_lora(context, input, set, first_row, tile.panels, product + (shared.begin - tile.rows.begin) * column_block,
                 column_block);
      });
    }
    add_bias(context, linear, first, columns, tile.rows.size(), product, column_block);
    for (int64_t row = tile.rows.begin; row < tile.rows.end; ++row, product += column_block) {
      std::copy_n(product, columns, job.y + row * job.ldy + first);
    }
  });
}

}  // namespace moxie::moe
