#include "transformer/attention.h"

#include <algorithm>
#include <cmath>

#include "moe/tiling.h"
#include "transformer/rotary.h"

namespace moxie::transformer {
namespace {

using moe::divide_up;
using moe::part;
using moe::round_up;
using moe::Span;

constexpr int64_t rows_per_task = 16;

}  // namespace

void turn(const Context& context, const Geometry& geometry, const Steps& steps, float* q, int64_t ldq, float* k,
          int64_t ldk) {
  context.team.run(divide_up(steps.rows(), rows_per_task), [&](int64_t index, int) {
    const Span rows = part(index, rows_per_task, steps.rows());
    for (int64_t row = rows.begin; row < rows.end; ++row) {
      for (int64_t head = 0; head < geometry.heads; ++head) {
        rotate(geometry.rope, steps.cos(row), steps.sin(row), q + row * ldq + head * geometry.head_dim);
      }
      for (int64_t head = 0; head < geometry.kv_heads; ++head) {
        rotate(geometry.rope, steps.cos(row), steps.sin(row), k + row * ldk + head * geometry.head_dim);
      }
    }
  });
}

void remember(const Context& context, const Geometry& geometry, int64_t layer, const Steps& steps, const float* k,
              const float* v, int64_t ld) {
  const auto pieces = steps.pieces();
  context.team.run(static_cast<int64_t>(pieces.size()), [&](int64_t index, int) {
    const StepRows& piece = pieces[static_cast<size_t>(index)];
    LayerCache& cache = piece.sequence->layers[static_cast<size_t>(layer)];
    const int64_t held = piece.sequence->length;
    cache.prepare(held, held + piece.end - piece.begin);
    for (int64_t row = piece.begin; row < piece.end; ++row) {
      const int64_t at = held + row - piece.begin;
      std::copy_n(k + row * ld, geometry.cache_width(), cache.key(at));
      std::copy_n(v + row * ld, geometry.cache_width(), cache.value(at));
    }
  });
}

void attend(const Context& context, const Geometry& geometry, int64_t layer, int64_t window, const Steps& steps,
            const float* q, int64_t ldq, float* out, int64_t ldo) {
  struct Task {
    const StepRows* piece;
    int64_t kv_head;
    Span rows;  // of the call
  };
  Workspace& workspace = context.workspace;
  auto tasks = workspace.list<Task>();
  int64_t longest = 0;
  for (const StepRows& piece : steps.pieces()) {
    const int64_t count = piece.end - piece.begin;
    longest = std::max(longest, piece.sequence->length + count);
    for (int64_t t = 0; t < divide_up(count, rows_per_task); ++t) {
      const Span rows = part(t, rows_per_task, count);
      for (int64_t head = 0; head < geometry.kv_heads; ++head) {
        tasks.push_back({&piece, head, {piece.begin + rows.begin, piece.begin + rows.end}});
      }
    }
  }
  const int64_t blocks = divide_up(longest, cache_block);
  const int64_t scores = round_up(longest, cache_block);
  auto* score_memory = workspace.take<float>(scores * context.team.size());
  auto** block_memory = workspace.take<const float*>(2 * blocks * context.team.size());
  const int64_t group = geometry.heads / geometry.kv_heads;
  const auto scale = static_cast<float>(1.0 / std::sqrt(static_cast<double>(geometry.head_dim)));

  context.team.run(static_cast<int64_t>(tasks.size()), [&](int64_t index, int worker) {
    const Task& task = tasks[static_cast<size_t>(index)];
    const Sequence& sequence = *task.piece->sequence;
    const LayerCache& cache = sequence.layers[static_cast<size_t>(layer)];
    const int64_t end_of_task = sequence.length + task.rows.end - task.piece->begin;
    const float** keys = block_memory + 2 * blocks * worker;
    const float** values = keys + blocks;
    for (int64_t b = 0; b < divide_up(end_of_task, cache_block); ++b) {
      keys[b] = cache.key_block(b) + task.kv_head * geometry.head_dim;
      values[b] = cache.value_block(b) + task.kv_head * geometry.head_dim;
    }
    kernels::Attend call;
    call.head_dim = geometry.head_dim;
    call.scale = scale;
    call.key_blocks = keys;
    call.value_blocks = values;
    call.block_rows = cache_block;
    call.stride = cache.width();
    call.scores = score_memory + scores * worker;
    for (int64_t row = task.rows.begin; row < task.rows.end; ++row) {
      const int64_t at = sequence.length + row - task.piece->begin;
      call.end = at + 1;
      call.begin = window > 0 ? std::max<int64_t>(0, call.end - window) : 0;
      for (int64_t head = task.kv_head * group; head < (task.kv_head + 1) * group; ++head) {
        call.query = q + row * ldq + head * geometry.head_dim;
        call.output = out + row * ldo + head * geometry.head_dim;
        context.small().attend(call);
      }
    }
  });
}

}  // namespace moxie::transformer
