// One transformer block: RMSNorm, grouped-query attention with rotary embedding, residual, RMSNorm, feed-forward,
// residual.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "adapter/adapter.h"
#include "checkpoint/architecture.h"
#include "moe/feed_forward.h"
#include "transformer/sequence.h"

namespace moxie::transformer {

// What the blocks of a decoder have in common.
struct Geometry {
  int64_t hidden = 0;
  int64_t heads = 0, kv_heads = 0, head_dim = 0;
  double norm_epsilon = 1e-6;
  checkpoint::Rope rope;

  [[nodiscard]] int64_t query_width() const { return heads * head_dim; }
  [[nodiscard]] int64_t cache_width() const { return kv_heads * head_dim; }
};

struct Block {
  std::vector<float> attention_norm, feed_forward_norm;  // [hidden]
  moe::Linear q, k, v, o;
  moe::FeedForward feed_forward;
  int64_t window = 0;  // rows a row sees, itself included; 0: all before it

  [[nodiscard]] int64_t weight_bytes() const;
};

// Rows [begin, end) of a call, which one sequence takes behind those it holds.
struct StepRows {
  Sequence* sequence = nullptr;
  const adapter::Adapter* adapter = nullptr;
  int64_t begin = 0, end = 0;
};

// Rows of a piece that one block of the cache takes.
struct BlockRun {
  const StepRows* piece = nullptr;
  int64_t begin = 0, end = 0;
};

// What a call's blocks share. Sequences do not move until commit(), but from the start they have room for the rows.
class Steps {
 public:
  Steps(const Context& context, const Geometry& geometry, std::span<const StepRows> pieces, int64_t layers);

  [[nodiscard]] int64_t rows() const { return rows_; }
  [[nodiscard]] std::span<const StepRows> pieces() const { return pieces_; }
  [[nodiscard]] std::span<const BlockRun> runs() const { return {runs_, static_cast<size_t>(run_count_)}; }
  // The blocks of a piece's cache.
  [[nodiscard]] const std::byte* const* blocks(const StepRows& piece) const { return blocks_[&piece - pieces_.data()]; }
  [[nodiscard]] const float* cos(int64_t row) const { return cos_ + row * angles_; }
  [[nodiscard]] const float* sin(int64_t row) const { return sin_ + row * angles_; }

  // Row ranges with the switch routers' memory of one layer.
  std::span<const moe::SequenceRows> sequence_rows(int64_t layer);

  // Makes the rows part of their sequences: first what may fail, then what cannot.
  void prepare_commit();
  void commit() noexcept;

 private:
  struct Pending {  // what a switch router chose, until the call has succeeded
    int64_t layer;
    const StepRows* piece;
    int32_t* chosen;
    int32_t experts;
  };

  void make_room();
  void cut_at_blocks();
  void turn_positions(const checkpoint::Rope& rope);

  const Context& context_;
  std::span<const StepRows> pieces_;
  int64_t rows_ = 0;
  BlockRun* runs_ = nullptr;
  int64_t run_count_ = 0;
  const std::byte* const** blocks_ = nullptr;  // [pieces]
  int64_t angles_ = 0;
  float* cos_ = nullptr;
  float* sin_ = nullptr;
  moe::SequenceRows* sequence_rows_ = nullptr;
  int32_t* chosen_ = nullptr;  // [layers][rows]
  std::pmr::vector<Pending> pending_;
};

// Passes x ([rows][ldx] float32, ldx at least hidden padded to 32) through the block in place.
//   layer            index into the sequences' and adapters' layers
//   after_attention  [rows][ldx] or NULL: input + attention
//   kept             one for each piece, or empty: receives what routers decided
void run_block(const Context& context, const Geometry& geometry, const Block& block, int64_t layer, Steps& steps,
               float* x, int64_t ldx, float* after_attention, std::span<moe::RangeRouting*> kept);

// y = RMSNorm(x) (arXiv 1910.07467) of all rows.
void run_norm(const Context& context, const float* x, int64_t ldx, int64_t rows, const std::vector<float>& weight,
              double epsilon, float* y, int64_t ldy);

}  // namespace moxie::transformer
