// Stage 2: the down projection's z, for which stage 1 has made most of the work.
#include "moe/down_inputs.h"

#include <algorithm>

#include "moe/lora_delta.h"
#include "moe/stages.h"

namespace moxie::moe {
namespace {

// A of sets with few rows is read as their B is: each panel from one end to the other.
void shrink_kept_rows(const Stages& s) {
  struct Task {
    const RangeWork* range;
    SetPart part;
    Span blocks;
  };
  const int64_t blocks = divide_up(s.base.ffn, column_block);
  auto panels = s.context.workspace.list<Task>();
  int64_t bytes = 0;
  for (const RangeWork& range : s.ranges) {
    const LoraInput& input = range.down_input;
    for (int32_t set = 0; set < input.count_sets(); ++set) {
      if (!input.has_deltas(set)) continue;
      for (int64_t p = 0; p < input.sets->a.panels(); ++p) {
        panels.push_back({&range, {set, input.z_rows_of(set), {p, p + 1}}, {0, 0}});
      }
      bytes += input.sets->a.set_bytes();
    }
  }
  auto tasks = s.context.workspace.list<Task>();
  for (const Task& panel : panels) {
    const int64_t block_bytes = panel.range->down->a.fetch_columns(0, 0, 0, column_block).bytes;
    const int64_t together = stretch(bytes, s.context.team.size()) / block_bytes;
    for (int64_t i = 0; i < divide_up(blocks, together); ++i) {
      tasks.push_back({panel.range, panel.part, part(i, together, blocks)});
    }
  }
  s.context.team.run(static_cast<int64_t>(tasks.size()), [&](int64_t index, int) {
    const Task& task = tasks[static_cast<size_t>(index)];
    const KeptRows& h = task.range->down_h;
    const float* rows = h.rows + task.range->down_input.delta_of(task.part.set, task.part.z_rows.begin) * h.ld;
    shrink_blocks(s.context, *task.range, task.part, task.blocks, rows + task.blocks.begin * column_block, h.ld);
  });
}

void make_down_deltas(const Stages& s) {
  auto inputs = s.context.workspace.list<const LoraInput*>();
  for (const RangeWork& range : s.ranges) inputs.push_back(&range.down_input);
  make_deltas(s.context, inputs);
}

}  // namespace

void shrink_blocks(const Context& context, const RangeWork& range, const SetPart& part, Span blocks, const float* h,
                   int64_t ldh) {
  const LoraInput& input = range.down_input;
  kernels::LoraShrink call;
  call.x = h;
  call.ldx = ldh;
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
  shrink_kept_rows(s);
  const int64_t blocks = divide_up(s.base.ffn, column_block);
  struct Task {
    RangeWork* range;
    Span rows;
  };
  auto tasks = s.context.workspace.list<Task>();
  for (RangeWork& range : s.ranges) {
    if (range.down == nullptr) continue;
    for (int64_t i = 0; i < divide_up(range.down_input.z_rows, row_tile); ++i) {
      tasks.push_back({&range, part(i, row_tile, range.down_input.z_rows)});
    }
  }
  s.context.team.run(static_cast<int64_t>(tasks.size()), [&](int64_t index, int) {
    const Task& task = tasks[static_cast<size_t>(index)];
    const LoraInput& input = task.range->down_input;
    const RouterWork& router = task.range->down_router;
    auto sum_blocks = [&](const float* partial, int64_t width, float* sum) {
      const int64_t begin = task.rows.begin * width, count = task.rows.size() * width;
      std::copy_n(partial + begin, count, sum + begin);
      for (int64_t b = 1; b < blocks; ++b) {
        s.context.small().add(sum + begin, partial + b * input.z_rows * width + begin, count, sum + begin);
      }
    };
    sum_blocks(task.range->z_partial, input.ldz, input.z);
    if (router.router == nullptr) {
      scale(input, task.rows, {0, input.ldz});
      return;
    }
    if (router.given == nullptr) sum_blocks(task.range->logits_partial, router.settings.experts, router.logits);
    decide_rows(router, task.rows);
    weigh(input, task.rows);
  });
  if (s.call.y != nullptr) make_down_deltas(s);
}

}  // namespace moxie::moe
