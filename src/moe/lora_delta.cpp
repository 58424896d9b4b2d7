#include "moe/lora_delta.h"

#include <algorithm>

namespace moxie::moe {
namespace {

// Rows that are written and read again must be little beside B, which has as many of them as the rank.
constexpr int64_t rank_per_row = 4;

// A B that is smaller comes from memory fast enough beside the tiles, or has stayed in cache.
constexpr int64_t large = int64_t{128} << 10;  // bytes

}  // namespace

void plan_deltas(Workspace& workspace, LoraInput* input) {
  if (!input->any() || input->sets->b.set_bytes() < large) return;
  Deltas deltas;
  deltas.first_of = workspace.take<int64_t>(input->count_sets());
  deltas.ld = row_stride(input->sets->out, sizeof(float));
  for (int32_t set = 0; set < input->count_sets(); ++set) {
    const int64_t rows = input->z_rows_of(set).size();
    const bool few = rows != 0 && rows * rank_per_row <= input->sets->rank;
    deltas.first_of[set] = few ? deltas.count : -1;
    if (few) deltas.count += rows;
  }
  if (deltas.count == 0) return;
  deltas.rows = workspace.take<float>(deltas.count * deltas.ld);
  input->deltas = deltas;
}

void make_deltas(const Context& context, const std::pmr::vector<const LoraInput*>& inputs) {
  struct Task {
    const LoraInput* input;
    int32_t set;
    Span panels;
  };
  auto sets = context.workspace.list<Task>();
  int64_t bytes = 0;
  for (const LoraInput* input : inputs) {
    for (int32_t set = 0; set < input->count_sets(); ++set) {
      if (!input->has_deltas(set)) continue;
      sets.push_back({input, set, {0, input->sets->b.panels()}});
      bytes += input->sets->b.set_bytes();
    }
  }
  auto tasks = context.workspace.list<Task>();
  for (const Task& whole : sets) {
    const int64_t panels = whole.panels.size();
    const int64_t panel_bytes = whole.input->sets->b.panel_bytes();
    const int64_t together = divide_up(stretch(bytes, context.team.size()), panel_bytes);
    for (int64_t i = 0; i < divide_up(panels, together); ++i) {
      tasks.push_back({whole.input, whole.set, part(i, together, panels)});
    }
  }
  context.team.run(static_cast<int64_t>(tasks.size()), [&](int64_t index, int) {
    const Task& task = tasks[static_cast<size_t>(index)];
    const LoraInput& input = *task.input;
    kernels::LoraExpand product = product_with_b(input, task.set, input.z_rows_of(task.set), task.panels);
    product.to = input.deltas.rows + input.deltas.first_of[task.set] * input.deltas.ld +
                 task.panels.begin * kernels::expand_panel_width;
    product.ld_to = input.deltas.ld;
    context.small().lora_expand(product);
  });
}

}  // namespace moxie::moe
