// Stage 2: the down projection's z, for which stage 1 has made most of the work.
#include "moe/down_inputs.h"

#include <algorithm>

#include "moe/lora_delta.h"
#include "moe/stages.h"

namespace moxie::moe {
namespace {

int64_t count_blocks(const Stages& s) { return divide_up(s.base.ffn, column_block); }

// sum = the blocks' partial values, [blocks][of][width], of some rows.
void sum_blocks(const Stages& s, const float* partial, int64_t of, int64_t width, Span rows, float* sum) {
  const int64_t begin = rows.begin * width, count = rows.size() * width;
  std::copy_n(partial + begin, count, sum + begin);
  for (int64_t b = 1; b < count_blocks(s); ++b) {
    s.context.small().add(sum + begin, partial + b * of * width + begin, count, sum + begin);
  }
}

struct Task {
  RangeWork* range;
  Span rows;
};

template <typename Rows>
std::pmr::vector<Task> row_tasks(const Stages& s, Rows&& rows_of) {
  auto tasks = s.context.workspace.list<Task>();
  for (RangeWork& range : s.ranges) {
    const int64_t rows = rows_of(range);
    for (int64_t i = 0; i < divide_up(rows, row_tile); ++i) tasks.push_back({&range, part(i, row_tile, rows)});
  }
  return tasks;
}

// Plug-in experts decide by the whole of h.
void decide(const Stages& s) {
  const auto tasks =
      row_tasks(s, [](const RangeWork& range) { return range.down_router.router == nullptr ? 0 : range.rows; });
  s.context.team.run(static_cast<int64_t>(tasks.size()), [&](int64_t index, int) {
    const Task& task = tasks[static_cast<size_t>(index)];
    const RouterWork& router = task.range->down_router;
    if (router.given == nullptr) {
      sum_blocks(s, task.range->logits_partial, task.range->rows, router.settings.experts, task.rows, router.logits);
    }
    decide_rows(router, task.rows);
  });
}

// What a decision was waited for.
void choose_experts(const Stages& s) {
  for (RangeWork& range : s.ranges) {
    LoraInput& input = range.down_input;
    if (!input.waits()) continue;
    choose(s.context.workspace, &input);
    plan_deltas(s.context.workspace, &input);
    range.z_partial = s.context.workspace.take<float>(count_blocks(s) * input.z_rows * input.ldz);
  }
}

// A of sets with few rows is read as their B is: each panel from one end to the other. So is that of experts that were
// chosen when h was whole.
void shrink_kept_rows(const Stages& s) {
  struct Product {
    const RangeWork* range;
    SetPart part;
    Span blocks;
  };
  const int64_t blocks = count_blocks(s);
  auto panels = s.context.workspace.list<Product>();
  int64_t bytes = 0;
  for (const RangeWork& range : s.ranges) {
    const LoraInput& input = range.down_input;
    for (int32_t set = 0; set < input.count_sets(); ++set) {
      if (!input.chose() && !input.has_deltas(set)) continue;
      if (input.z_rows_of(set).size() == 0) continue;
      for (int64_t p = 0; p < input.sets->a.panels(); ++p) {
        panels.push_back({&range, {set, input.z_rows_of(set), {p, p + 1}}, {0, 0}});
      }
      bytes += input.sets->a.set_bytes();
    }
  }
  auto products = s.context.workspace.list<Product>();
  for (const Product& panel : panels) {
    const int64_t block_bytes = panel.range->down->a.fetch_columns(0, 0, 0, column_block).bytes;
    const int64_t together = stretch(bytes, s.context.team.size()) / block_bytes;
    for (int64_t i = 0; i < divide_up(blocks, together); ++i) {
      products.push_back({panel.range, panel.part, part(i, together, blocks)});
    }
  }
  s.context.team.run(static_cast<int64_t>(products.size()), [&](int64_t index, int) {
    const Product& product = products[static_cast<size_t>(index)];
    const RangeWork& range = *product.range;
    const LoraInput& input = range.down_input;
    const int64_t first = product.part.z_rows.begin, column = product.blocks.begin * column_block;
    HiddenPart h{range.down_h.rows + column, range.down_h.ld, nullptr};
    if (input.chose()) {
      h.rows_of = input.pairs->row + first;
    } else {
      h.first += input.delta_of(product.part.set, first) * h.ld;
    }
    shrink_blocks(s.context, range, product.part, product.blocks, h);
  });
}

void make_down_deltas(const Stages& s) {
  auto inputs = s.context.workspace.list<const LoraInput*>();
  for (const RangeWork& range : s.ranges) inputs.push_back(&range.down_input);
  make_deltas(s.context, inputs);
}

}  // namespace

void shrink_blocks(const Context& context, const RangeWork& range, const SetPart& part, Span blocks,
                   const HiddenPart& h) {
  const LoraInput& input = range.down_input;
  kernels::LoraShrink call;
  call.x = h.first;
  call.ldx = h.ld;
  call.rows_of = h.rows_of;
  call.rows = part.z_rows.size();
  call.a = input.sets->a.panels_of(part.set, part.panels.begin, part.panels.end);
  call.k_begin = blocks.begin * column_block;
  call.k_end = std::min(blocks.end * column_block, input.sets->in);
  call.part = column_block;
  call.ld_part = input.z_rows * input.ldz;
  call.z = range.z_partial + (blocks.begin * input.z_rows + part.z_rows.begin) * input.ldz +
           part.panels.begin * kernels::shrink_panel_width;
  call.ldz = input.ldz;
  context.small().lora_shrink(call);
}

void finish_down_inputs(const Stages& s) {
  decide(s);
  if (s.call.y == nullptr) return;
  choose_experts(s);
  shrink_kept_rows(s);
  const auto tasks = row_tasks(s, [](const RangeWork& range) { return range.down_input.z_rows; });
  s.context.team.run(static_cast<int64_t>(tasks.size()), [&](int64_t index, int) {
    const Task& task = tasks[static_cast<size_t>(index)];
    const LoraInput& input = task.range->down_input;
    sum_blocks(s, task.range->z_partial, input.z_rows, input.ldz, task.rows, input.z);
    if (input.routes() && !input.chose()) {
      weigh(input, task.rows);
    } else {
      scale(input, task.rows, {0, input.ldz});
    }
  });
  make_down_deltas(s);
}

}  // namespace moxie::moe
