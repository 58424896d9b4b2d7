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

void run_linears(const Context& context, const float* x, int64_t ldx, int64_t rows, std::span<const LinearJob> jobs,
                 std::span<const LinearRange> ranges, std::span<RangeRouting*> kept) {
  Workspace& workspace = context.workspace;
  const DType dtype = jobs[0].linear->weight.dtype();
  const int64_t in = jobs[0].linear->in();
  const ProductInput rounded = product_input(workspace, dtype, x, ldx, rows, in);

  auto inputs = workspace.list<LoraInput>();  // range by range, in it job by job
  inputs.reserve(ranges.size() * jobs.size());
  for (const LinearRange& range : ranges) {
    for (const LinearJob& job : jobs) {
      inputs.push_back(range.adapter == nullptr ? LoraInput{}
                                                : make_lora_input(workspace, job.name, range.adapter->*job.sets,
                                                                  range.begin, range.end - range.begin, nullptr));
    }
  }

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

  struct Decision {
    const LoraInput* input;
    Span rows;
  };
  auto decisions = workspace.list<Decision>();
  for (const LoraInput& input : inputs) {
    if (!input.routes()) continue;
    for (int64_t i = 0; i < divide_up(input.rows, decision_rows); ++i) {
      decisions.push_back({&input, part(i, decision_rows, input.rows)});
    }
  }
  context.team.run(static_cast<int64_t>(decisions.size()), [&](int64_t index, int) {
    const Decision& task = decisions[static_cast<size_t>(index)];
    decide_rows(task.input->router, task.rows);
    if (!task.input->waits()) weigh(*task.input, task.rows);
  });

  auto late_tasks = workspace.list<InputTask>();
  auto with_deltas = workspace.list<const LoraInput*>();
  for (LoraInput& input : inputs) {
    if (input.waits()) {
      choose(workspace, &input);
      add_products(&late_tasks, input);
    }
    plan_deltas(workspace, &input);
    with_deltas.push_back(&input);
  }
  context.team.run(static_cast<int64_t>(late_tasks.size()),
                   [&](int64_t index, int) { run_task(context, late_tasks[static_cast<size_t>(index)], x, ldx); });
  make_deltas(context, with_deltas);
  for (size_t r = 0; r < kept.size(); ++r) {
    for (size_t j = 0; j < jobs.size(); ++j) {
      const LoraInput& input = inputs[r * jobs.size() + j];
      if (input.routes()) append(kept[r], input.router);
    }
  }

  struct Tile {
    int32_t job;
    int32_t panel_begin, panel_end;
    int64_t row_begin, row_end;
  };
  auto tiles = workspace.list<Tile>();
  for (size_t j = 0; j < jobs.size(); ++j) {
    const int64_t panels = jobs[j].linear->weight.panels();
    for (int64_t p = 0; p < panels; p += panel_tile) {
      for (int64_t i = 0; i < tiles_of(rows); ++i) {
        const Span span = tile_of_rows(i, rows);
        tiles.push_back({static_cast<int32_t>(j), static_cast<int32_t>(p),
                         static_cast<int32_t>(std::min(p + panel_tile, panels)), span.begin, span.end});
      }
    }
  }
  // A tile is made in memory of the worker's own: rows of y are too far apart for the first-level cache.
  auto* products = workspace.take<float>(context.team.size() * row_tile * column_block);
  context.team.run(static_cast<int64_t>(tiles.size()), [&](int64_t index, int worker) {
    const Tile& tile = tiles[static_cast<size_t>(index)];
    const Linear& linear = *jobs[static_cast<size_t>(tile.job)].linear;
    const int64_t first = tile.panel_begin * kernels::panel_width;
    const int64_t columns = std::min(tile.panel_end * kernels::panel_width, linear.out()) - first;
    float* product = products + worker * row_tile * column_block;

    multiply(context, rounded, linear.weight, {tile.row_begin, tile.row_end}, {tile.panel_begin, tile.panel_end},
             {product, column_block});
    for (size_t r = 0; r < ranges.size(); ++r) {
      const LoraInput& input = inputs[r * jobs.size() + static_cast<size_t>(tile.job)];
      const int64_t begin = std::max(tile.row_begin, ranges[r].begin);
      const int64_t end = std::min(tile.row_end, ranges[r].end);
      if (begin >= end) continue;
      const int64_t first_row = begin - input.begin;
      input.for_each_set({first_row, end - input.begin}, [&](const SetRows& set) {
        add_lora(context, input, set, first_row, {tile.panel_begin, tile.panel_end},
                 product + (begin - tile.row_begin) * column_block, column_block);
      });
    }
    add_bias(context, linear, first, columns, tile.row_end - tile.row_begin, product, column_block);
    const LinearJob& job = jobs[static_cast<size_t>(tile.job)];
    for (int64_t row = tile.row_begin; row < tile.row_end; ++row, product += column_block) {
      std::copy_n(product, columns, job.y + row * job.ldy + first);
    }
  });
}

}  // namespace moxie::moe
