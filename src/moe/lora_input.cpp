#include "moe/lora_input.h"

#include <algorithm>

namespace moxie::moe {
namespace {

// Rows and experts whose logits make one task. Of few rows few experts, so that one row of many experts is work for
// many threads; many rows are themselves, and are read once for more experts.
constexpr int64_t router_rows = 32;
constexpr int64_t router_experts(int64_t rows) { return rows < router_rows ? 16 : 64; }

LoraInput start(const adapter::LoraSets& sets, int64_t begin, int64_t rows) {
  LoraInput input;
  input.sets = &sets;
  input.begin = begin;
  input.rows = rows;
  input.ldz = round_up(sets.rank, kernels::shrink_panel_width);
  return input;
}

void make_room(Workspace& workspace, int64_t z_rows, LoraInput* input) {
  input->z_rows = z_rows;
  input->z = workspace.take<float>(z_rows * input->ldz);
}

void add_set(std::pmr::vector<InputTask>* tasks, const LoraInput& input, int32_t set, Span z_rows) {
  const int64_t panels = input.sets->a.panels();
  for (int64_t i = 0; i < divide_up(z_rows.size(), row_tile); ++i) {
    const Span rows = part(i, row_tile, z_rows.size());
    for (int64_t p = 0; p < panels; ++p) {
      tasks->push_back(
          {&input, nullptr, {z_rows.begin + rows.begin, z_rows.begin + rows.end}, {p, p + 1}, set, {0, 0}});
    }
  }
}

}  // namespace

LoraInput make_lora_input(Workspace& workspace, const adapter::LoraSets& sets, int64_t begin, int64_t rows) {
  LoraInput input = start(sets, begin, rows);
  if (!input.waits()) make_room(workspace, rows, &input);
  return input;
}

LoraInput make_lora_input(Workspace& workspace, const char* name, const std::optional<adapter::LoraSets>& sets,
                          int64_t begin, int64_t rows, const RouterDecision* given) {
  if (!sets) return {};
  LoraInput input = make_lora_input(workspace, *sets, begin, rows);
  if (sets->router) input.router = make_router_work(workspace, name, *sets->router, begin, rows, given);
  return input;
}

LoraInput make_lora_input(Workspace& workspace, const std::optional<adapter::LoraSets>& sets, int64_t begin,
                          int64_t rows, const Pairs& pairs) {
  if (!sets) return {};
  LoraInput input = start(*sets, begin, rows);
  input.pairs = &pairs;
  make_room(workspace, pairs.count, &input);
  return input;
}

void choose(Workspace& workspace, LoraInput* input) {
  input->pairs = new (workspace.take<Pairs>(1)) Pairs(make_pairs(workspace, input->router));
  make_room(workspace, input->pairs->count, input);
}

void add_tasks(std::pmr::vector<InputTask>* tasks, const RouterWork& router) {
  const int64_t experts = router.settings.experts, together = router_experts(router.rows);
  for (int64_t i = 0; i < divide_up(router.rows, router_rows); ++i) {
    for (int64_t e = 0; e < divide_up(experts, together); ++e) {
      tasks->push_back({nullptr, &router, part(i, router_rows, router.rows), {0, 0}, 0, part(e, together, experts)});
    }
  }
}

void add_tasks(std::pmr::vector<InputTask>* tasks, const LoraInput& input) {
  add_products(tasks, input);
  if (input.routes()) add_tasks(tasks, input.router);
}

void add_products(std::pmr::vector<InputTask>* tasks, const LoraInput& input) {
  for (int32_t set = 0; set < input.count_sets(); ++set) add_set(tasks, input, set, input.z_rows_of(set));
}

void run_task(const Context& context, const InputTask& task, const float* x, int64_t ldx) {
  if (task.router != nullptr) {
    compute_logits(context, *task.router, x, ldx, task.rows, task.experts);
    return;
  }
  const LoraInput& input = *task.lora;
  const bool paired = input.pairs != nullptr;
  kernels::LoraShrink product;
  product.x = x + (input.begin + (paired ? 0 : task.rows.begin)) * ldx;
  product.ldx = ldx;
  product.rows_of = paired ? input.pairs->row + task.rows.begin : nullptr;
  product.rows = task.rows.size();
  product.a = input.sets->a.panels_of(task.set, task.panels.begin, task.panels.end);
  product.k_end = input.sets->in;
  product.z = input.z + task.rows.begin * input.ldz + task.panels.begin * kernels::shrink_panel_width;
  product.ldz = input.ldz;
  context.small().lora_shrink(product);
  constexpr int64_t width = kernels::shrink_panel_width;
  if (!input.routes() || paired) scale(input, task.rows, {task.panels.begin * width, task.panels.end * width});
}

void scale(const LoraInput& input, Span z_rows, Span columns) {
  const float* weights = input.pairs != nullptr && input.routes() ? input.pairs->weight : nullptr;
  for (int64_t row = z_rows.begin; row < z_rows.end; ++row) {
    const float scaling = weights != nullptr ? input.sets->scaling * weights[row] : input.sets->scaling;
    float* z = input.z + row * input.ldz;
    for (int64_t j = columns.begin; j < columns.end; ++j) z[j] *= scaling;
  }
}

void weigh(const LoraInput& input, Span rows) {
  const adapter::LoraSets& sets = *input.sets;
  const RouterWork& router = input.router;
  const int64_t rank = sets.expert_rank;
  for (int64_t row = rows.begin; row < rows.end; ++row) {
    float* z = input.z + row * input.ldz;
    // Experts that were not chosen are set to zero, not multiplied: what they computed may be infinite.
    for (int64_t e = 0; e < router.settings.experts; ++e) {
      const int32_t* chosen = router.experts + row * router.places;
      const int32_t* place = std::find(chosen, chosen + router.places, static_cast<int32_t>(e));
      if (place == chosen + router.places) {
        std::fill_n(z + e * rank, rank, 0.0F);
      } else {
        const float weight = sets.scaling * router.weights[row * router.places + (place - chosen)];
        for (int64_t j = 0; j < rank; ++j) z[e * rank + j] *= weight;
      }
    }
  }
}

kernels::LoraExpand product_with_b(const LoraInput& input, int32_t set, Span z_rows, Span panels) {
  kernels::LoraExpand product;
  product.z = input.z + z_rows.begin * input.ldz;
  product.ldz = input.ldz;
  product.rows = z_rows.size();
  product.rank = input.sets->rank;
  product.b = input.sets->b.panels_of(set, panels.begin, panels.end);
  return product;
}

namespace {

void add_deltas(const Context& context, const LoraInput& input, int32_t set, Span z_rows, Span columns,
                const LoraRows& rows) {
  const float* delta = input.deltas.rows + input.delta_of(set, z_rows.begin) * input.deltas.ld + columns.begin;
  for (int64_t i = 0; i < z_rows.size(); ++i, delta += input.deltas.ld) {
    const float* from = rows.from + rows.from_row(i) * rows.ld_from;
    float* to = rows.to + rows.to_row(i) * rows.ld_to;
    context.small().add(from, delta, columns.size(), to);
  }
}

}  // namespace

void add_lora(const Context& context, const LoraInput& input, int32_t set, Span z_rows, Span panels,
              const LoraRows& rows) {
  const adapter::LoraSets& sets = *input.sets;
  const Span columns{panels.begin * kernels::expand_panel_width, panels.end * kernels::expand_panel_width};
  if (input.has_deltas(set)) {
    add_deltas(context, input, set, z_rows, columns, rows);
  } else {
    kernels::LoraExpand product = product_with_b(input, set, z_rows, panels);
    product.from = rows.from;
    product.ld_from = rows.ld_from;
    product.from_rows = rows.from_rows;
    product.to = rows.to;
    product.ld_to = rows.ld_to;
    product.to_rows = rows.to_rows;
    product.first_row = rows.first_row;
    context.small().lora_expand(product);
  }

  if (sets.rescale.empty()) return;
  const std::vector<float>& rescale = sets.rescale[static_cast<size_t>(set)];
  const int64_t first = columns.begin, count = std::min(columns.end, sets.out) - first;
  for (int64_t i = 0; i < z_rows.size(); ++i) {
    float* to = rows.to + rows.to_row(i) * rows.ld_to;
    for (int64_t c = 0; c < count; ++c) to[c] *= rescale[static_cast<size_t>(first + c)];
  }
}

void add_lora(const Context& context, const LoraInput& input, const SetRows& set, int64_t first_row, Span panels,
              float* values, int64_t ld) {
  LoraRows rows = LoraRows::in_place(values, ld);
  if (input.pairs != nullptr) {
    rows.from_rows = rows.to_rows = input.pairs->row + set.z_rows.begin;
    rows.first_row = static_cast<int32_t>(first_row);
  }
  add_lora(context, input, set.set, set.z_rows, panels, rows);
}

}  // namespace moxie::moe
