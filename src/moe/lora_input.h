// The first half of every LoRA product: z = A x, scaled, for the rows of one range.
#pragma once

#include "moe/router_work.h"

namespace moxie::moe {

// A set of factors and the rows of z that it acts with.
struct SetRows {
  int32_t set = 0;
  Span z_rows{0, 0};
};

// (row, expert) pairs of a range under a router that chooses, sorted by expert, then by row.
struct Pairs {
  int64_t count = 0;
  int64_t* begin_of = nullptr;       // [experts + 1] first pair of each expert
  int32_t* row = nullptr;            // [count] row of the range
  float* weight = nullptr;           // [count]
  float* weight_sum = nullptr;       // [rows] of the pairs of each row
  float* overflow_weight = nullptr;  // switch: [rows] weight with which a row over capacity keeps its input, else 0

  // Those of an expert whose rows are among [of).
  [[nodiscard]] Span of_rows(int32_t expert, Span of) const;
  // Calls visit(SetRows) for the experts that any of the rows chose, in ascending order.
  template <typename Visit>
  void for_each_set(int32_t experts, Span of, Visit&& visit) const {
    for (int32_t expert = 0; expert < experts; ++expert) {
      const Span pairs = of_rows(expert, of);
      if (pairs.size() != 0) visit(SetRows{expert, pairs});
    }
  }
};

// Pairs of a decided range.
Pairs make_pairs(Workspace& workspace, const RouterWork& router);

// B z that is made before it is added (lora_delta.h).
struct Deltas {
  int64_t count = 0;            // rows of all sets that are made so
  int64_t* first_of = nullptr;  // [sets] the first of them that is of a set; -1: not made so, or no rows
  float* rows = nullptr;        // [count][ld]
  int64_t ld = 0;
};

// What one LoraSets makes of one input, rows [begin, begin + rows) of a call. A z row belongs to a row of the range or,
// where rows choose experts (MixLoRA, MoLA), to a pair, and is made by the pair's expert alone. For plug-in experts
// (LoRAMoE, MoLA) z is weighted by their router, so that the experts' sum is the sum of their B z.
struct LoraInput {
  const adapter::LoraSets* sets = nullptr;  // NULL: no factors here
  int64_t begin = 0, rows = 0;
  const Pairs* pairs = nullptr;  // MixLoRA, MoLA
  int64_t z_rows = 0;
  float* z = nullptr;  // [z_rows, ldz]
  int64_t ldz = 0;     // the rank, padded to whole panels of A
  RouterWork router;   // router.router NULL: none
  Deltas deltas;

  [[nodiscard]] bool any() const { return sets != nullptr; }
  [[nodiscard]] bool routes() const { return router.router != nullptr; }
  // There is no z before the router has decided: see choose().
  [[nodiscard]] bool waits() const { return any() && sets->chooses() && pairs == nullptr; }
  // Plug-in experts that rows have chosen.
  [[nodiscard]] bool chose() const { return routes() && pairs != nullptr; }
  [[nodiscard]] int32_t count_sets() const { return !any() || waits() ? 0 : pairs == nullptr ? 1 : sets->sets; }
  [[nodiscard]] Span z_rows_of(int32_t set) const {
    return pairs == nullptr ? Span{0, z_rows} : Span{pairs->begin_of[set], pairs->begin_of[set + 1]};
  }
  [[nodiscard]] bool has_deltas(int32_t set) const { return deltas.count != 0 && deltas.first_of[set] >= 0; }
  // Among the rows of all deltas, that of a z row of a set that has_deltas().
  [[nodiscard]] int64_t delta_of(int32_t set, int64_t z_row) const {
    return deltas.first_of[set] + z_row - z_rows_of(set).begin;
  }
  // Calls visit(SetRows) for the sets that act on these rows of the range, in ascending order.
  template <typename Visit>
  void for_each_set(Span of_rows, Visit&& visit) const {
    if (pairs != nullptr) {
      pairs->for_each_set(sets->sets, of_rows, visit);
    } else if (count_sets() != 0) {
      visit(SetRows{0, of_rows});
    }
  }
};

// A piece of first-half work: products with A, or logits of a router.
struct InputTask {
  const LoraInput* lora = nullptr;     // panels [panels.begin, panels.end) of a set's A
  const RouterWork* router = nullptr;  // logits of experts [experts.begin, experts.end)
  Span rows{0, 0};                     // relative to the range; of z where lora
  Span panels{0, 0};
  int32_t set = 0;
  Span experts{0, 0};
};

// Of a range without pairs, its router left to the caller.
LoraInput make_lora_input(Workspace& workspace, const adapter::LoraSets& sets, int64_t begin, int64_t rows);

// The same with the router its factors have. No sets: nothing to do.
LoraInput make_lora_input(Workspace& workspace, const char* name, const std::optional<adapter::LoraSets>& sets,
                          int64_t begin, int64_t rows, const RouterDecision* given);

// Of a range's pairs, which must stay where they are.
LoraInput make_lora_input(Workspace& workspace, const std::optional<adapter::LoraSets>& sets, int64_t begin,
                          int64_t rows, const Pairs& pairs);

// Products with A and a router's logits, where nothing waits. All must stay where they are until the tasks have run.
void add_tasks(std::pmr::vector<InputTask>* tasks, const LoraInput& input);
void add_tasks(std::pmr::vector<InputTask>* tasks, const RouterWork& router);
void add_products(std::pmr::vector<InputTask>* tasks, const LoraInput& input);

// After its router has decided: gives an input that waits its pairs, and room for their z.
void choose(Workspace& workspace, LoraInput* input);

// x: the call's rows, float32.
void run_task(const Context& context, const InputTask& task, const float* x, int64_t ldx);

// Columns of z times scaling and, of experts that rows have chosen, their weights.
void scale(const LoraInput& input, Span z_rows, Span columns);
// The same of experts side by side, after the router has decided.
void weigh(const LoraInput& input, Span rows);

// Rows that a product with B is added to: to = from + B z.
struct LoraRows {
  const float* from = nullptr;
  int64_t ld_from = 0;
  const int32_t* from_rows = nullptr;  // NULL: 0, 1, ...; else less first_row
  float* to = nullptr;
  int64_t ld_to = 0;
  const int32_t* to_rows = nullptr;
  int32_t first_row = 0;

  [[nodiscard]] int64_t from_row(int64_t i) const { return from_rows == nullptr ? i : from_rows[i] - first_row; }
  [[nodiscard]] int64_t to_row(int64_t i) const { return to_rows == nullptr ? i : to_rows[i] - first_row; }

  static LoraRows in_place(float* rows, int64_t ld) { return {rows, ld, nullptr, rows, ld, nullptr, 0}; }
};

// B_set z, panels of the output, of rows [z_rows) of the input; from and to where is left to the caller.
kernels::LoraExpand product_with_b(const LoraInput& input, int32_t set, Span z_rows, Span panels);

// rows.to = rows.from + B_set z, panels of the output; then DoRA's rescaling of the whole. z: rows [z_rows) of the
// input.
void add_lora(const Context& context, const LoraInput& input, int32_t set, Span z_rows, Span panels,
              const LoraRows& rows);
// The same, in place, of rows of the range; the first one's is `values`.
void add_lora(const Context& context, const LoraInput& input, const SetRows& set, int64_t first_row, Span panels,
              float* values, int64_t ld);

}  // namespace moxie::moe
