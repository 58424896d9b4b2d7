#include "transformer/attention.h"

#include <algorithm>
#include <cmath>

#include "moe/tiling.h"
#include "transformer/rotary.h"

namespace moxie::transformer {
namespace {

using kernels::cache_block;
using moe::divide_up;
using moe::part;
using moe::Span;

constexpr int64_t queries_per_task = 64;

// Consecutive rows of one piece in the query heads that share a kv head.
struct Group {
  const StepRows* piece;
  int64_t kv_head;
  Span rows;     // of the call
  int64_t work;  // pairs of a row and a position
};

// A group, or one segment of it.
struct Task {
  const Group* group;
  int64_t segment;  // all: -1
  float* states;    // where a segment leaves its states
};

// A group whose segments are tasks of their own.
struct Joint {
  const Group* group;
  float* states;
};

kernels::Attend call_for(const Group& group, const Geometry& geometry, int64_t layer, int64_t window,
                         const Steps& steps, const float* queries, float* out, int64_t ldo) {
  const StepRows& piece = *group.piece;
  const CacheShape& shape = piece.sequence->cache.shape();
  kernels::Attend call;
  call.rows = group.rows.size();
  call.group = geometry.heads / geometry.kv_heads;
  call.head_dim = geometry.head_dim;
  const int64_t width = call.group * geometry.head_dim;
  call.query = queries + (group.kv_head * steps.rows() + group.rows.begin) * width;
  call.scale = static_cast<float>(1.0 / std::sqrt(static_cast<double>(geometry.head_dim)));
  call.first = piece.sequence->length + group.rows.begin - piece.begin;
  call.window = window;
  call.dtype = shape.dtype;
  call.blocks = steps.blocks(piece);
  call.key_offset = shape.keys(layer, group.kv_head);
  call.value_offset = shape.values(layer, group.kv_head);
  call.output = out + group.rows.begin * ldo + group.kv_head * width;
  call.ldo = ldo;
  return call;
}

}  // namespace

void remember(const Context& context, const Geometry& geometry, int64_t layer, const Steps& steps, const float* q,
              int64_t ldq, const float* k, const float* v, int64_t ldk, float* queries) {
  const auto runs = steps.runs();
  const auto count = static_cast<int64_t>(runs.size());
  const int64_t head_dim = geometry.head_dim;
  const int64_t group = geometry.heads / geometry.kv_heads;
  // Few runs are shared out by heads.
  const int64_t heads = count >= 2 * context.team.size() ? geometry.kv_heads : 1;
  auto* scratch = context.workspace.take<float>(cache_block * head_dim * context.team.size());
  context.team.run(count * (geometry.kv_heads / heads), [&](int64_t index, int worker) {
    const BlockRun& run = runs[static_cast<size_t>(index % count)];
    const StepRows& piece = *run.piece;
    const Cache& cache = piece.sequence->cache;
    const kernels::CacheLayout layout = cache.shape().layout();
    const int64_t position = piece.sequence->length + run.begin - piece.begin;
    std::byte* block = cache.block(position / cache_block);
    float* turned = scratch + worker * cache_block * head_dim;
    for (int64_t head = index / count * heads; head < (index / count + 1) * heads; ++head) {
      for (int64_t row = run.begin; row < run.end; ++row) {
        for (int64_t i = 0; i < group; ++i) {
          rotate(geometry.rope, steps.cos(row), steps.sin(row), head_dim, q + row * ldq + (head * group + i) * head_dim,
                 queries + ((head * steps.rows() + row) * group + i) * head_dim);
        }
        rotate(geometry.rope, steps.cos(row), steps.sin(row), head_dim, k + row * ldk + head * head_dim,
               turned + (row - run.begin) * head_dim);
      }
      layout.write_keys(block + cache.shape().keys(layer, head), position % cache_block, run.end - run.begin, turned,
                        head_dim);
      layout.write_values(block + cache.shape().values(layer, head), position % cache_block, run.end - run.begin,
                          v + run.begin * ldk + head * head_dim, ldk);
    }
  });
}

void attend(const Context& context, const Geometry& geometry, int64_t layer, int64_t window, const Steps& steps,
            const float* queries, float* out, int64_t ldo) {
  Workspace& workspace = context.workspace;
  const int64_t heads = geometry.heads / geometry.kv_heads;
  const int64_t rows_per_task = std::max<int64_t>(1, queries_per_task / heads);
  int64_t count = 0;
  for (const StepRows& piece : steps.pieces()) count += divide_up(piece.end - piece.begin, rows_per_task);
  auto groups = workspace.list<Group>();
  groups.reserve(static_cast<size_t>(count * geometry.kv_heads));
  int64_t work = 0;
  for (const StepRows& piece : steps.pieces()) {
    const int64_t rows = piece.end - piece.begin;
    for (int64_t head = 0; head < geometry.kv_heads; ++head) {
      // Later rows see more: the long tasks come first.
      for (int64_t t = divide_up(rows, rows_per_task); t-- > 0;) {
        const Span span = part(t, rows_per_task, rows);
        const int64_t end = piece.sequence->length + span.end;
        const int64_t seen = window > 0 ? std::min(end, window + span.size()) : end;
        groups.push_back({&piece, head, {piece.begin + span.begin, piece.begin + span.end}, span.size() * seen});
        work += groups.back().work;
      }
    }
  }
  const auto call = [&](const Group& group) {
    return call_for(group, geometry, layer, window, steps, queries, out, ldo);
  };

  // A group that would keep one thread busy while others have nothing left is cut into its segments; the results are
  // the same.
  const int64_t threads = context.team.size();
  const int64_t state = kernels::attend_state(geometry.head_dim);
  auto tasks = workspace.list<Task>();
  auto joints = workspace.list<Joint>();
  tasks.reserve(groups.size());
  for (const Group& group : groups) {
    const kernels::Segments segments = kernels::segments_of(call(group));
    if (threads == 1 || group.work * 2 * threads <= work || segments.end - segments.begin == 1) {
      tasks.push_back({&group, -1, nullptr});
      continue;
    }
    const int64_t states = group.rows.size() * heads * state;
    auto* memory = workspace.take<float>(states * (segments.end - segments.begin));
    joints.push_back({&group, memory});
    for (int64_t segment = segments.begin; segment < segments.end; ++segment) {
      tasks.push_back({&group, segment, memory + (segment - segments.begin) * states});
    }
  }
  const int64_t scratch = 2 * rows_per_task * heads * state;
  auto* scratch_memory = workspace.take<float>(scratch * threads);
  context.team.run(static_cast<int64_t>(tasks.size()), [&](int64_t index, int worker) {
    const Task& task = tasks[static_cast<size_t>(index)];
    if (task.segment < 0) {
      context.small().attend(call(*task.group), scratch_memory + worker * scratch);
    } else {
      context.small().attend_segment(call(*task.group), task.segment, task.states);
    }
  });
  context.team.run(static_cast<int64_t>(joints.size()), [&](int64_t index, int) {
    const Joint& joint = joints[static_cast<size_t>(index)];
    context.small().join_segments(call(*joint.group), joint.states);
  });
}

}  // namespace moxie::transformer
