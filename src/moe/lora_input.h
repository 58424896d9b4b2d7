// The first half of every LoRA product: z = A x, scaled, for the rows of one range.
#pragma once

#include "moe/router_work.h"

namespace moxie::moe {

// What one LoraSets makes of one input, rows [begin, begin + rows) of a call. For plug-in experts (LoRAMoE, MoLA) z is
// weighted by their router, so that the experts' sum is the one product B z.
struct LoraInput {
  const adapter::LoraSets* sets = nullptr;  // NULL: no factors here
  int64_t begin = 0, rows = 0;
  float* z = nullptr;  // [rows, ldz], set after set
  int64_t width = 0;   // columns of z in use
  int64_t ldz = 0;
  RouterWork router;  // router.router NULL: none

  [[nodiscard]] bool any() const { return sets != nullptr; }
  [[nodiscard]] bool routes() const { return router.router != nullptr; }
};

// A piece of first-half work: products with A, logits of a router, or both kinds' rows.
struct InputTask {
  const LoraInput* lora = nullptr;     // panels [panels.begin, panels.end) of A
  const RouterWork* router = nullptr;  // logits
  Span rows{0, 0};                     // relative to the range
  Span panels{0, 0};
};

LoraInput make_lora_input(Workspace& workspace, const char* name, const std::optional<adapter::LoraSets>& sets,
                          int64_t begin, int64_t rows, const RouterDecision* given);

// Both must stay where they are until the tasks have run.
void add_tasks(std::pmr::vector<InputTask>* tasks, const LoraInput& input);
void add_tasks(std::pmr::vector<InputTask>* tasks, const RouterWork& router);

// x: the call's rows, float32.
void run_task(const Context& context, const InputTask& task, const float* x, int64_t ldx);

// After the router has decided: z times scaling, and the experts' weights.
void weigh(const LoraInput& input, Span rows);

// tile += B_set z of rows `rows` (relative to the range), panels of the output; then DoRA's rescaling of the whole.
// rows_of: NULL, or which rows of the range (rows.begin .. rows.end index into it); scratch: [rows, rank] where it is
// given. tile: [rows][ld].
void add_lora(const Context& context, const LoraInput& input, int32_t set, const int32_t* rows_of, Span rows,
              Span panels, float* scratch, float* tile, int64_t ld);

}  // namespace moxie::moe
