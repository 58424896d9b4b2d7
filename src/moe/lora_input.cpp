#include "moe/lora_input.h"

#include <algorithm>

namespace moxie::moe {
namespace {

constexpr int64_t router_rows = 16;  // rows whose logits make one task

}  // namespace

LoraInput make_lora_input(Workspace& workspace, const char* name, const std::optional<adapter::LoraSets>& sets,
                          int64_t begin, int64_t rows, const RouterDecision* given) {
  LoraInput input;
  if (!sets) return input;
  input.sets = &*sets;
  input.begin = begin;
  input.rows = rows;
  input.width = static_cast<int64_t>(sets->sets) * sets->rank;
  input.ldz = padded(input.width);
  input.z = workspace.take<float>(rows * input.ldz);
  if (sets->router) input.router = make_router_work(workspace, name, *sets->router, begin, rows, given);
  return input;
}

void add_tasks(std::pmr::vector<InputTask>* tasks, const RouterWork& router) {
  for (int64_t i = 0; i < divide_up(router.rows, router_rows); ++i) {
    tasks->push_back({nullptr, &router, part(i, router_rows, router.rows), {0, 0}});
  }
}

void add_tasks(std::pmr::vector<InputTask>* tasks, const LoraInput& input) {
  if (!input.any()) return;
  const int64_t panels = input.sets->a.panels();
  for (int64_t i = 0; i < divide_up(input.rows, row_tile); ++i) {
    for (int64_t p = 0; p < divide_up(panels, panel_tile); ++p) {
      tasks->push_back({&input, nullptr, part(i, row_tile, input.rows), part(p, panel_tile, panels)});
    }
  }
  if (input.routes()) add_tasks(tasks, input.router);
}

void run_task(const Context& context, const InputTask& task, const float* x, int64_t ldx) {
  if (task.router != nullptr) {
    compute_logits(context, *task.router, x, ldx, task.rows);
    return;
  }
  const LoraInput& input = *task.lora;
  kernels::Matmul product;
  product.a = x + (input.begin + task.rows.begin) * ldx;
  product.lda = ldx;
  product.rows = task.rows.size();
  product.w = &input.sets->a;
  product.panel_begin = task.panels.begin;
  product.panel_end = task.panels.end;
  product.k_end = input.sets->in;
  product.c = input.z + task.rows.begin * input.ldz + task.panels.begin * kernels::panel_width;
  product.ldc = input.ldz;
  context.matmul(MOX_F32, product);
}

void weigh(const LoraInput& input, Span rows) {
  if (!input.any()) return;
  const adapter::LoraSets& sets = *input.sets;
  for (int64_t row = rows.begin; row < rows.end; ++row) {
    float* z = input.z + row * input.ldz;
    if (!input.routes()) {
      for (int64_t i = 0; i < input.width; ++i) z[i] *= sets.scaling;
      continue;
    }
    // Experts that were not chosen are set to zero, not multiplied: what they computed may be infinite.
    const RouterWork& router = input.router;
    const int64_t rank = sets.expert_rank;
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

void add_lora(const Context& context, const LoraInput& input, int32_t set, const int32_t* rows_of, Span rows,
              Span panels, float* scratch, float* tile, int64_t ld) {
  const adapter::LoraSets& sets = *input.sets;
  const int64_t rank = sets.rank;
  const float* z = input.z + rows.begin * input.ldz + set * rank;
  int64_t ldz = input.ldz;
  if (rows_of != nullptr) {
    for (int64_t i = 0; i < rows.size(); ++i) {
      std::copy_n(input.z + rows_of[rows.begin + i] * input.ldz + set * rank, rank, scratch + i * rank);
    }
    z = scratch;
    ldz = rank;
  }
  kernels::Matmul product;
  product.a = z;
  product.lda = ldz;
  product.rows = rows.size();
  product.w = &sets.b[static_cast<size_t>(set)];
  product.panel_begin = panels.begin;
  product.panel_end = panels.end;
  product.k_end = rank;
  product.c = tile;
  product.ldc = ld;
  product.accumulate = true;
  context.matmul(MOX_F32, product);

  if (sets.rescale.empty()) return;
  const std::vector<float>& rescale = sets.rescale[static_cast<size_t>(set)];
  const int64_t first = panels.begin * kernels::panel_width;
  const int64_t columns = std::min(panels.end * kernels::panel_width, sets.out) - first;
  for (int64_t i = 0; i < rows.size(); ++i) {
    for (int64_t c = 0; c < columns; ++c) tile[i * ld + c] *= rescale[static_cast<size_t>(first + c)];
  }
}

}  // namespace moxie::moe
