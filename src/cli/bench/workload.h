// Made-up batches for one feed-forward.
#pragma once

#include <vector>

#include "cli/handles.h"
#include "cli/synthetic.h"

namespace moxie::cli::bench {

// Batches of `tokens` rows each, run in rotation. A bank of experts gets enough of them that an expert's weights have
// left the caches before they are read again, as far as there are experts enough; a dense layer gets one.
class Workload {
 public:
  Workload(const FfnShape& shape, int64_t tokens, const FeedForward& feed_forward);

  size_t batches() const { return inputs_.size(); }

  // Experts that rows of the batch go to, and the bytes of their weights.
  int64_t experts_used(size_t batch) const { return experts_used_[batch % batches()]; }
  double weight_bytes(size_t batch) const;

  // Weights read from one use of a batch to the next.
  int64_t rotation_bytes() const { return rotation_experts_ * shape_.expert_bytes(); }

  // Operations of one call.
  double operations() const;

  // Milliseconds of one call, all rows on the plain base, or in the given ranges.
  double milliseconds(const FeedForward& feed_forward, size_t batch);
  double milliseconds(const FeedForward& feed_forward, size_t batch, const std::vector<mox_range>& ranges);

 private:
  void add_batch();

  FfnShape shape_;
  int64_t tokens_;
  std::vector<std::vector<float>> inputs_;
  std::vector<int64_t> experts_used_;
  int64_t rotation_experts_ = 1;
  std::vector<float> output_;
};

}  // namespace moxie::cli::bench
