#include <span>

#include "api/batch.h"
#include "api/call.h"
#include "api/handles.h"
#include "moe/tiling.h"

using moxie::api::guard;

namespace {

using moxie::invalid_argument;
using moxie::api::require_not_null;

mox_block_step check_step(const mox_block_step& given, size_t index, int64_t hidden) {
  const auto at = [index](const char* field) { return moxie::api::ArgumentName("steps", index, field); };
  mox_block_step step = given;
  if (given.rows < 1 || given.rows > INT32_MAX) {
    throw invalid_argument(at(".rows").text() + " is " + std::to_string(given.rows) + "; expected 1 or more");
  }
  require_not_null(given.input, at(".input"));
  require_not_null(given.output, at(".output"));
  moxie::api::require_hidden_dtype(given.dtype, at(".dtype"));
  step.stride = moxie::api::checked_stride(given.stride, hidden, given.rows, at(".stride"));
  return step;
}

void run(const moxie::Context& context, const moxie::model::LayerBlock& layer, std::span<const mox_block_step> steps,
         std::span<const moxie::transformer::StepRows> pieces, std::span<moxie::moe::RangeRouting*> kept) {
  const int64_t hidden = layer.geometry.hidden;
  const int64_t ld = moxie::moe::row_stride(hidden, sizeof(float));
  moxie::transformer::Steps moving(context, layer.geometry, pieces, 1);
  auto* x = context.workspace.take<float>(moving.rows() * ld);
  auto* after_attention = context.workspace.take<float>(moving.rows() * ld);
  const auto count = static_cast<int64_t>(steps.size());
  context.team.run(count, [&](int64_t index, int) {
    const mox_block_step& step = steps[static_cast<size_t>(index)];
    moxie::api::read_rows(step.input, step.dtype, step.stride, hidden, 0, step.rows,
                          x + pieces[static_cast<size_t>(index)].begin * ld, ld);
  });
  moxie::transformer::run_block(context, layer.geometry, layer.block, 0, moving, x, ld, after_attention, kept);
  moving.prepare_commit();
  context.team.run(count, [&](int64_t index, int) {
    const mox_block_step& step = steps[static_cast<size_t>(index)];
    const int64_t first = pieces[static_cast<size_t>(index)].begin * ld;
    moxie::api::write_rows(x + first, ld, hidden, 0, step.rows, step.output, step.dtype, step.stride);
    if (step.after_attention != nullptr) {
      moxie::api::write_rows(after_attention + first, ld, hidden, 0, step.rows, step.after_attention, step.dtype,
                             step.stride);
    }
  });
  moving.commit();
}

}  // namespace

mox_status mox_block_open(mox_runtime* runtime, const char* folder, int32_t layer, const mox_load_options* options,
                          mox_block** block, mox_error* error) {
  return guard(error, [&] {
    require_not_null(runtime, "runtime");
    require_not_null(folder, "folder");
    require_not_null(block, "block");
    const moxie::NearPlacement near(runtime->engine->placement());
    const moxie::model::LoadSettings settings = moxie::api::read_load_options(options, runtime->engine);
    auto opened = moxie::model::open_block(folder, layer, settings);
    *block = new mox_block{runtime->engine, std::move(opened)};
  });
}

void mox_block_free(mox_block* block) { delete block; }

int64_t mox_block_hidden(const mox_block* block) { return block == nullptr ? 0 : block->layer->geometry.hidden; }

mox_status mox_block_run(const mox_block* block, const mox_block_step* steps, size_t step_count, mox_routing** routing,
                         mox_error* error) {
  return guard(error, [&] {
    require_not_null(block, "block");
    if (step_count > 0) require_not_null(steps, "steps");
    moxie::api::CallMemory memory;
    moxie::api::HeldAdapters adapters(memory);
    moxie::api::HeldSequences sequences(memory);
    auto checked = memory.list<mox_block_step>();
    auto pieces = memory.list<moxie::transformer::StepRows>();
    int64_t rows = 0;
    for (size_t i = 0; i < step_count; ++i) {
      checked.push_back(check_step(steps[i], i, block->layer->geometry.hidden));
      const moxie::adapter::Adapter* adapter =
          adapters.hold(steps[i].adapter, block->layer.get(), {"steps", i, ".adapter"});
      moxie::transformer::Sequence* sequence =
          sequences.hold(steps[i].sequence, block->layer.get(), {"steps", i, ".sequence"});
      pieces.push_back({sequence, adapter, rows, rows + steps[i].rows});
      rows += steps[i].rows;
      if (rows > INT32_MAX) {
        throw invalid_argument("the steps hold more than " + std::to_string(INT32_MAX) + " rows");
      }
    }
    std::unique_ptr<mox_routing> plan;
    auto kept = memory.list<moxie::moe::RangeRouting*>();
    if (routing != nullptr) {
      plan = std::make_unique<mox_routing>();
      plan->plan.layers.resize(1);
      plan->plan.layers.front().ranges.resize(step_count);
      for (size_t i = 0; i < step_count; ++i) {
        plan->plan.layers.front().ranges[i].rows = steps[i].rows;
        kept.push_back(&plan->plan.layers.front().ranges[i]);
      }
    }
    if (!checked.empty()) {
      block->engine->run([&](const moxie::Context& context) { run(context, *block->layer, checked, pieces, kept); });
    }
    if (routing != nullptr) *routing = plan.release();
  });
}
