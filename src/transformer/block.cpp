#include "transformer/block.h"

#include <algorithm>
#include <array>

#include "moe/linears.h"
#include "transformer/attention.h"
#include "transformer/rotary.h"

namespace moxie::transformer {
namespace {

using moe::divide_up;
using moe::part;
using moe::row_stride;
using moe::Span;

constexpr int64_t norm_rows = 16;

void add(const Context& context, const float* from, int64_t ld_from, int64_t rows, int64_t columns, float* to,
         int64_t ld_to) {
  context.team.run(divide_up(rows, norm_rows), [&](int64_t index, int) {
    const Span span = part(index, norm_rows, rows);
    for (int64_t row = span.begin; row < span.end; ++row) {
      for (int64_t c = 0; c < columns; ++c) to[row * ld_to + c] += from[row * ld_from + c];
    }
  });
}

const adapter::LayerAdapter* layer_of(const adapter::Adapter* adapter, int64_t layer) {
  return adapter == nullptr ? nullptr : &adapter->layers[static_cast<size_t>(layer)];
}

void run_attention(const Context& context, const Geometry& geometry, const Block& block, int64_t layer,
                   const Steps& steps, const float* x, int64_t ldx, float* y, int64_t ldy,
                   std::span<moe::RangeRouting*> kept) {
  Workspace& workspace = context.workspace;
  auto ranges = workspace.list<moe::LinearRange>();
  for (const StepRows& piece : steps.pieces()) {
    const adapter::LayerAdapter* adapter = layer_of(piece.adapter, layer);
    ranges.push_back({piece.begin, piece.end, adapter == nullptr ? nullptr : &adapter->attention});
  }
  const int64_t rows = steps.rows();
  const int64_t ldq = row_stride(geometry.query_width(), sizeof(float));
  const int64_t ldk = row_stride(geometry.cache_width(), sizeof(float));
  auto* q = workspace.take<float>(rows * ldq);
  auto* k = workspace.take<float>(rows * ldk);
  auto* v = workspace.take<float>(rows * ldk);
  const std::array<moe::LinearJob, 3> inputs = {{{&block.q, "q_proj", &adapter::AttentionAdapter::q, q, ldq},
                                                 {&block.k, "k_proj", &adapter::AttentionAdapter::k, k, ldk},
                                                 {&block.v, "v_proj", &adapter::AttentionAdapter::v, v, ldk}}};
  moe::run_linears(context, x, ldx, rows, inputs, ranges, kept);
  auto* queries = workspace.take<float>(rows * geometry.query_width());
  remember(context, geometry, layer, steps, q, ldq, k, v, ldk, queries);
  float* mixed = q;  // read no more
  attend(context, geometry, layer, block.window, steps, queries, mixed, ldq);
  const std::array<moe::LinearJob, 1> output = {{{&block.o, "o_proj", &adapter::AttentionAdapter::o, y, ldy}}};
  moe::run_linears(context, mixed, ldq, rows, output, ranges, kept);
}

}  // namespace

int64_t Block::weight_bytes() const {
  return static_cast<int64_t>((attention_norm.size() + feed_forward_norm.size()) * sizeof(float) + q.weight.bytes() +
                              k.weight.bytes() + v.weight.bytes() + o.weight.bytes()) +
         feed_forward.weight_bytes();
}

Steps::Steps(const Context& context, const Geometry& geometry, std::span<const StepRows> pieces, int64_t layers)
    : context_(context), pieces_(pieces), pending_(context.workspace.list<Pending>()) {
  Workspace& workspace = context.workspace;
  for (const StepRows& piece : pieces) rows_ = std::max(rows_, piece.end);
  // Taken now: what is taken inside a layer is given back with it.
  int64_t switches = 0;
  for (const StepRows& piece : pieces) {
    if (piece.adapter != nullptr && piece.adapter->kind == MOX_ADAPTER_MIXLORA_SWITCH) switches += layers;
  }
  pending_.reserve(static_cast<size_t>(switches));
  if (switches > 0) chosen_ = workspace.take<int32_t>(layers * rows_);
  sequence_rows_ = workspace.take<moe::SequenceRows>(static_cast<int64_t>(pieces.size()));
  make_room();
  cut_at_blocks();
  turn_positions(geometry.rope);
}

void Steps::make_room() {
  const auto count = static_cast<int64_t>(pieces_.size());
  context_.team.run(count, [&](int64_t index, int) {
    const StepRows& piece = pieces_[static_cast<size_t>(index)];
    const int64_t held = piece.sequence->length;
    piece.sequence->cache.prepare(held, held + piece.end - piece.begin);
  });
  blocks_ = context_.workspace.take<const std::byte* const*>(count);
  for (int64_t i = 0; i < count; ++i) {
    const Cache& cache = pieces_[static_cast<size_t>(i)].sequence->cache;
    auto** blocks = context_.workspace.take<const std::byte*>(cache.blocks());
    for (int64_t b = 0; b < cache.blocks(); ++b) blocks[b] = cache.block(b);
    blocks_[i] = blocks;
  }
}

void Steps::cut_at_blocks() {
  constexpr int64_t length = kernels::cache_block;
  int64_t most = 0;
  for (const StepRows& piece : pieces_) most += (piece.end - piece.begin) / length + 2;
  runs_ = context_.workspace.take<BlockRun>(most);
  for (const StepRows& piece : pieces_) {
    for (int64_t row = piece.begin; row < piece.end;) {
      const int64_t position = piece.sequence->length + row - piece.begin;
      const int64_t end = std::min(piece.end, row + length - position % length);
      runs_[run_count_++] = {&piece, row, end};
      row = end;
    }
  }
}

void Steps::turn_positions(const checkpoint::Rope& rope) {
  Workspace& workspace = context_.workspace;
  angles_ = rope.rotary_dim / 2;
  cos_ = workspace.take<float>(rows_ * angles_);
  sin_ = workspace.take<float>(rows_ * angles_);
  const bool by_length = depends_on_length(rope);
  auto* memory = workspace.take<double>(angles_ * (by_length ? run_count_ : 1));
  const Frequencies common = by_length ? Frequencies{} : frequencies(rope, 0, memory);
  context_.team.run(run_count_, [&](int64_t index, int) {
    const BlockRun& run = runs_[index];
    const StepRows& piece = *run.piece;
    const int64_t position = piece.sequence->first_position + piece.sequence->length - piece.begin;
    const Frequencies own =
        by_length ? frequencies(rope, position + piece.end, memory + index * angles_) : Frequencies{};
    for (int64_t row = run.begin; row < run.end; ++row) {
      rotation(by_length ? own : common, position + row, cos_ + row * angles_, sin_ + row * angles_);
    }
  });
}

std::span<const moe::SequenceRows> Steps::sequence_rows(int64_t layer) {
  for (size_t i = 0; i < pieces_.size(); ++i) {
    const StepRows& piece = pieces_[i];
    moe::SequenceRows& rows = sequence_rows_[i];
    rows = {piece.begin, piece.end, nullptr, nullptr};
    const adapter::LayerAdapter* adapter = layer_of(piece.adapter, layer);
    if (adapter == nullptr || !adapter->feed_forward.router ||
        adapter->feed_forward.router->kind != MOX_ROUTER_SWITCH) {
      continue;
    }
    const int32_t experts = adapter->feed_forward.router->experts;
    rows.served = context_.workspace.take_zeroed<int64_t>(experts);
    rows.chosen = chosen_ + layer * rows_ + piece.begin;
    const SwitchMemory& memory = piece.sequence->switches[static_cast<size_t>(layer)];
    if (memory.adapter == piece.adapter->id) std::copy(memory.served.begin(), memory.served.end(), rows.served);
    pending_.push_back({layer, &piece, rows.chosen, experts});
  }
  return {sequence_rows_, pieces_.size()};
}

void Steps::prepare_commit() {
  for (const Pending& pending : pending_) {
    Sequence& sequence = *pending.piece->sequence;
    SwitchMemory& memory = sequence.switches[static_cast<size_t>(pending.layer)];
    if (memory.adapter != pending.piece->adapter->id) {
      memory = {pending.piece->adapter->id, sequence.length, {}, std::vector<int64_t>(pending.experts)};
    }
    // By doubling, for a token at a time.
    const size_t needed = memory.chosen.size() + static_cast<size_t>(pending.piece->end - pending.piece->begin);
    if (needed > memory.chosen.capacity()) memory.chosen.reserve(std::max(needed, 2 * memory.chosen.capacity()));
  }
}

void Steps::commit() noexcept {
  for (const Pending& pending : pending_) {
    SwitchMemory& memory = pending.piece->sequence->switches[static_cast<size_t>(pending.layer)];
    for (int64_t i = 0; i < pending.piece->end - pending.piece->begin; ++i) {
      memory.chosen.push_back(pending.chosen[i]);
      ++memory.served[static_cast<size_t>(pending.chosen[i])];
    }
  }
  for (const StepRows& piece : pieces_) piece.sequence->length += piece.end - piece.begin;
}

void run_norm(const Context& context, const float* x, int64_t ldx, int64_t rows, const std::vector<float>& weight,
              double epsilon, float* y, int64_t ldy) {
  context.team.run(divide_up(rows, norm_rows), [&](int64_t index, int) {
    const Span span = part(index, norm_rows, rows);
    for (int64_t row = span.begin; row < span.end; ++row) {
      context.small().rms_norm(x + row * ldx, weight.data(), epsilon, static_cast<int64_t>(weight.size()),
                               y + row * ldy);
    }
  });
}

void run_block(const Context& context, const Geometry& geometry, const Block& block, int64_t layer, Steps& steps,
               float* x, int64_t ldx, float* after_attention, std::span<moe::RangeRouting*> kept) {
  Workspace& workspace = context.workspace;
  const int64_t rows = steps.rows();
  const int64_t ld = row_stride(geometry.hidden, sizeof(float));
  auto* normed = workspace.take<float>(rows * ld);
  auto* y = workspace.take<float>(rows * ld);

  run_norm(context, x, ldx, rows, block.attention_norm, geometry.norm_epsilon, normed, ld);
  run_attention(context, geometry, block, layer, steps, normed, ld, y, ld, kept);
  add(context, y, ld, rows, geometry.hidden, x, ldx);
  if (after_attention != nullptr) std::copy_n(x, rows * ldx, after_attention);

  run_norm(context, x, ldx, rows, block.feed_forward_norm, geometry.norm_epsilon, normed, ld);
  auto ranges = workspace.list<moe::FeedForwardRange>();
  for (const StepRows& piece : steps.pieces()) {
    const adapter::LayerAdapter* adapter = layer_of(piece.adapter, layer);
    const bool none = adapter == nullptr || adapter->feed_forward.empty();
    ranges.push_back({piece.begin, piece.end, none ? nullptr : &adapter->feed_forward});
  }
  moe::FeedForwardCall call;
  call.x = normed;
  call.ldx = ld;
  call.rows = rows;
  call.y = y;
  call.ldy = ld;
  call.ranges = ranges;
  call.sequences = steps.sequence_rows(layer);
  call.kept = kept;
  moe::run_feed_forward(context, block.feed_forward, call);
  add(context, y, ld, rows, geometry.hidden, x, ldx);
}

}  // namespace moxie::transformer
