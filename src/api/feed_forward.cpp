#include <cmath>
#include <vector>

#include "api/batch.h"
#include "api/call.h"
#include "kernels/pack_together.h"
#include "moe/tiling.h"

using moxie::api::guard;

namespace {

using moxie::invalid_argument;
using moxie::api::require_not_null;

constexpr int64_t most_columns = int64_t{1} << 24;

std::string shape(int64_t rows, int64_t columns) {
  return "[" + std::to_string(rows) + ", " + std::to_string(columns) + "]";
}

int64_t checked_matrix(const mox_matrix& matrix, int64_t rows, int64_t columns, const std::string& what) {
  require_not_null(matrix.data, what + ".data");
  if (matrix.rows != rows || matrix.columns != columns) {
    throw invalid_argument(what + " is " + shape(matrix.rows, matrix.columns) + "; expected " + shape(rows, columns));
  }
  if (matrix.dtype != MOX_F32 && matrix.dtype != MOX_BF16 && matrix.dtype != MOX_F16) {
    throw invalid_argument(what + ".dtype is " + mox_dtype_name(matrix.dtype) +
                           "; expected float32, bfloat16 or float16");
  }
  return moxie::api::checked_stride(matrix.row_stride, columns, rows, what + ".row_stride");
}

// The caller's matrices, checked first and packed together on all threads.
class Packer {
 public:
  Packer(moxie::DType dtype, const moxie::kernels::StoragePolicy& storage) : dtype_(dtype), policy_(storage) {}

  // `linear` must stay where it is until run(), and so must `matrix`.
  void add(const mox_matrix& matrix, int64_t rows, int64_t columns, const float* bias, const std::string& what,
           moxie::moe::Linear* linear) {
    const int64_t stride = checked_matrix(matrix, rows, columns, what);
    const auto pack = [&matrix, stride](int64_t first, int64_t count, int64_t to_row,
                                        moxie::kernels::PackedMatrix* to) {
      const auto* data = static_cast<const std::byte*>(matrix.data);
      to->pack_rows(to_row, count, data + static_cast<size_t>(first * stride) * moxie::element_size(matrix.dtype),
                    matrix.dtype, stride);
    };
    matrices_.push_back({&linear->weight, rows, columns, rows_per_task, pack});
    if (bias != nullptr) linear->bias.assign(bias, bias + rows);
  }

  void run(int threads) {
    moxie::kernels::pack_together(matrices_, dtype_, policy_, threads, [](size_t) {});
  }

 private:
  static constexpr int64_t rows_per_task = 4 * moxie::kernels::panel_width;

  moxie::DType dtype_;
  moxie::kernels::StoragePolicy policy_;
  std::vector<moxie::kernels::MatrixToPack> matrices_;
};

// As held: bfloat16 where that is asked for, or where every matrix is.
moxie::DType dtype_of(const mox_feed_forward_description& description) {
  if (description.weights != MOX_WEIGHTS_AS_STORED) return description.weights == MOX_WEIGHTS_BF16 ? MOX_BF16 : MOX_F32;
  for (int32_t e = 0; e < description.expert_count; ++e) {
    const mox_expert_weights& expert = description.experts[e];
    const bool up = description.kind != MOX_FEED_FORWARD_PLAIN && expert.up.dtype != MOX_BF16;
    if (expert.gate.dtype != MOX_BF16 || up || expert.down.dtype != MOX_BF16) return MOX_F32;
  }
  return MOX_BF16;
}

moxie::adapter::Router take_router(const mox_feed_forward_description& description) {
  const int64_t experts = description.expert_count;
  const int64_t hidden = description.hidden;
  const int64_t stride = checked_matrix(description.router, experts, hidden, "router");
  if (description.top_k < 1 || description.top_k > experts) {
    throw invalid_argument("top_k is " + std::to_string(description.top_k) + "; expected 1 to " +
                           std::to_string(experts));
  }
  moxie::adapter::Router router;
  router.kind = MOX_ROUTER_TOP_K;
  router.experts = description.expert_count;
  router.top_k = description.top_k;
  router.in = hidden;
  moxie::kernels::PackedMatrix widened(MOX_F32, experts, hidden);
  widened.pack_rows(0, experts, description.router.data, description.router.dtype, stride);
  std::vector<float> rows(static_cast<size_t>(experts * hidden));
  for (int64_t e = 0; e < experts; ++e) widened.read_row(e, rows.data() + e * hidden);
  router.set_gate(rows);
  return router;
}

void check_description(const mox_feed_forward_description& d) {
  if (d.kind != MOX_FEED_FORWARD_GATED && d.kind != MOX_FEED_FORWARD_PLAIN && d.kind != MOX_FEED_FORWARD_EXPERTS) {
    throw invalid_argument("kind is " + std::to_string(d.kind) + "; expected a mox_feed_forward_kind");
  }
  if (d.hidden < 1 || d.hidden > most_columns || d.ffn < 1 || d.ffn > most_columns) {
    throw invalid_argument("hidden is " + std::to_string(d.hidden) + " and ffn is " + std::to_string(d.ffn) +
                           "; expected 1 to " + std::to_string(most_columns));
  }
  if (d.activation < MOX_ACTIVATION_SILU || d.activation > MOX_ACTIVATION_RELU) {
    throw invalid_argument("activation is " + std::to_string(d.activation) +
                           "; expected one from MOX_ACTIVATION_SILU on");
  }
  if (d.weights < MOX_WEIGHTS_AS_STORED || d.weights > MOX_WEIGHTS_BF16) {
    throw invalid_argument("weights is " + std::to_string(d.weights) + "; expected a mox_weights");
  }
  (void)moxie::api::checked_storage(d.storage);
  const bool bank = d.kind == MOX_FEED_FORWARD_EXPERTS;
  if (d.expert_count < 1 || d.expert_count > moxie::api::most_experts || (!bank && d.expert_count != 1)) {
    throw invalid_argument("expert_count is " + std::to_string(d.expert_count) + "; expected " +
                           (bank ? "1 to " + std::to_string(moxie::api::most_experts) : "1 for a dense feed-forward"));
  }
  require_not_null(d.experts, "experts");
}

void run(const mox_feed_forward* feed_forward, const mox_batch* batch, const mox_routing* plan, bool only_route,
         mox_routing** routing) {
  require_not_null(feed_forward, "feed_forward");
  moxie::api::CallMemory memory;
  moxie::api::HeldAdapters adapters(memory);
  const moxie::api::CheckedBatch checked =
      moxie::api::check_batch(batch, *feed_forward, !only_route, memory, &adapters);
  const mox_batch& b = checked.batch;
  const moxie::moe::FeedForward& base = feed_forward->layer->feed_forward;
  const size_t ranges = checked.ranges.size();

  auto given = memory.list<const moxie::moe::RangeRouting*>();
  if (plan != nullptr) {
    const auto& layers = plan->plan.layers;
    if (layers.size() != 1 || layers.front().ranges.size() != ranges) {
      throw invalid_argument("the plan covers " + std::to_string(layers.size()) + " layers and " +
                             std::to_string(mox_routing_ranges(plan)) + " ranges; expected 1 layer and " +
                             std::to_string(ranges) + " ranges");
    }
    for (const size_t i : checked.order) given.push_back(&layers.front().ranges[i]);
  }
  std::unique_ptr<mox_routing> kept;
  auto kept_ranges = memory.list<moxie::moe::RangeRouting*>();
  if (routing != nullptr) {
    kept = std::make_unique<mox_routing>();
    kept->plan.layers.resize(1);
    kept->plan.layers.front().ranges.resize(ranges);
    for (size_t r = 0; r < ranges; ++r) {
      moxie::moe::RangeRouting& range = kept->plan.layers.front().ranges[checked.order[r]];
      range.rows = checked.ranges[r].end - checked.ranges[r].begin;
      kept_ranges.push_back(&range);
    }
  }

  feed_forward->engine->run([&](const moxie::Context& context) {
    const int64_t ld = moxie::moe::row_stride(base.hidden, sizeof(float));
    moxie::moe::FeedForwardCall call;
    call.rows = b.rows;
    if (b.input_dtype == MOX_F32) {
      call.x = static_cast<const float*>(b.input);
      call.ldx = b.input_stride;
    } else {
      auto* x = context.workspace.take<float>(b.rows * ld);
      context.team.run(moxie::moe::divide_up(b.rows, moxie::moe::copied_rows), [&](int64_t index, int) {
        const moxie::moe::Span span = moxie::moe::part(index, moxie::moe::copied_rows, b.rows);
        moxie::api::read_rows(b.input, b.input_dtype, b.input_stride, base.hidden, span.begin, span.end, x, ld);
      });
      call.x = x;
      call.ldx = ld;
    }
    if (!only_route) {
      call.y = context.workspace.take<float>(b.rows * ld);
      call.ldy = ld;
    }
    call.ranges = checked.ranges;
    call.sequences = checked.sequences;
    call.plan = given;
    call.kept = kept_ranges;
    moxie::moe::run_feed_forward(context, base, call);
    if (only_route) return;
    context.team.run(moxie::moe::divide_up(b.rows, moxie::moe::copied_rows), [&](int64_t index, int) {
      const moxie::moe::Span span = moxie::moe::part(index, moxie::moe::copied_rows, b.rows);
      moxie::api::write_rows(call.y, ld, base.hidden, span.begin, span.end, b.output, b.output_dtype, b.output_stride);
    });
  });
  if (routing != nullptr) *routing = kept.release();
}

}  // namespace

void mox_feed_forward_description_init(mox_feed_forward_description* description, size_t struct_size) {
  mox_feed_forward_description defaults{};
  defaults.activation = MOX_ACTIVATION_SILU;
  defaults.expert_count = 1;
  moxie::api::init_struct(description, struct_size, defaults);
}

void mox_load_options_init(mox_load_options* options, size_t struct_size) {
  moxie::api::init_struct(options, struct_size, mox_load_options{});
}

void mox_batch_init(mox_batch* batch, size_t struct_size) { moxie::api::init_struct(batch, struct_size, mox_batch{}); }

mox_status mox_feed_forward_create(mox_runtime* runtime, const mox_feed_forward_description* description,
                                   mox_feed_forward** feed_forward, mox_error* error) {
  return guard(error, [&] {
    require_not_null(runtime, "runtime");
    require_not_null(description, "description");
    require_not_null(feed_forward, "feed_forward");
    const mox_feed_forward_description d =
        moxie::api::read_struct(description, mox_feed_forward_description{}, "mox_feed_forward_description");
    check_description(d);
    const moxie::NearPlacement near(runtime->engine->placement());
    auto layer = std::make_shared<moxie::model::LayerFeedForward>();
    moxie::moe::FeedForward& base = layer->feed_forward;
    base.hidden = d.hidden;
    base.ffn = d.ffn;
    base.activation = d.activation;
    base.gated = d.kind != MOX_FEED_FORWARD_PLAIN;
    base.experts.resize(static_cast<size_t>(d.expert_count));
    Packer packer(dtype_of(d), moxie::kernels::storage_policy(d.storage, runtime->engine->kernels()));
    for (int32_t e = 0; e < d.expert_count; ++e) {
      const mox_expert_weights& from = d.experts[e];
      const std::string where = "experts[" + std::to_string(e) + "]";
      moxie::moe::Expert& expert = base.experts[static_cast<size_t>(e)];
      packer.add(from.gate, d.ffn, d.hidden, from.gate_bias, where + ".gate", &expert.gate);
      if (base.gated) packer.add(from.up, d.ffn, d.hidden, from.up_bias, where + ".up", &expert.up);
      if (!base.gated && from.up.data != nullptr) {
        throw invalid_argument(where + ".up is given; a plain feed-forward has none");
      }
      packer.add(from.down, d.hidden, d.ffn, from.down_bias, where + ".down", &expert.down);
    }
    if (d.kind == MOX_FEED_FORWARD_EXPERTS) base.router = take_router(d);
    packer.run(runtime->engine->threads());
    *feed_forward = new mox_feed_forward{runtime->engine, std::move(layer)};
  });
}

mox_status mox_feed_forward_open(mox_runtime* runtime, const char* folder, int32_t layer,
                                 const mox_load_options* options, mox_feed_forward** feed_forward, mox_error* error) {
  return guard(error, [&] {
    require_not_null(runtime, "runtime");
    require_not_null(folder, "folder");
    require_not_null(feed_forward, "feed_forward");
    const moxie::NearPlacement near(runtime->engine->placement());
    const moxie::model::LoadSettings settings = moxie::api::read_load_options(options, runtime->engine);
    auto opened = moxie::model::open_feed_forward(folder, layer, settings);
    *feed_forward = new mox_feed_forward{runtime->engine, std::move(opened)};
  });
}

mox_status mox_feed_forward_describe(const mox_feed_forward* feed_forward, mox_feed_forward_info* info,
                                     mox_error* error) {
  return guard(error, [&] {
    require_not_null(feed_forward, "feed_forward");
    const moxie::moe::FeedForward& base = feed_forward->layer->feed_forward;
    mox_feed_forward_info found{};
    found.kind =
        base.router ? MOX_FEED_FORWARD_EXPERTS : (base.gated ? MOX_FEED_FORWARD_GATED : MOX_FEED_FORWARD_PLAIN);
    found.hidden = base.hidden;
    found.ffn = base.ffn;
    found.activation = base.activation;
    found.expert_count = static_cast<int32_t>(base.experts.size());
    found.top_k = base.router ? base.router->top_k : 0;
    found.weights = base.weights();
    found.weight_bytes = base.weight_bytes();
    found.compact_bytes = base.compact_bytes();
    moxie::api::write_struct(info, found, "mox_feed_forward_info");
  });
}

void mox_feed_forward_free(mox_feed_forward* feed_forward) { delete feed_forward; }

mox_status mox_feed_forward_run(const mox_feed_forward* feed_forward, const mox_batch* batch, const mox_routing* plan,
                                mox_routing** routing, mox_error* error) {
  return guard(error, [&] { run(feed_forward, batch, plan, false, routing); });
}

mox_status mox_feed_forward_route(const mox_feed_forward* feed_forward, const mox_batch* batch, mox_routing** routing,
                                  mox_error* error) {
  return guard(error, [&] {
    require_not_null(routing, "routing");
    run(feed_forward, batch, nullptr, true, routing);
  });
}
