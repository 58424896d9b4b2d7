#include "cli/bench/workload.h"

#include <chrono>
#include <set>

#include "cli/bench/caches.h"

namespace moxie::cli::bench {
namespace {

constexpr size_t kMostBatches = 64;
constexpr int64_t kMostInputBytes = int64_t{256} << 20;
constexpr uint64_t kFirstSeed = 5;

mox_batch batch_of(int64_t tokens, const std::vector<float>& input) {
  auto batch = defaults(mox_batch_init);
  batch.rows = tokens;
  batch.input = input.data();
  return batch;
}

std::vector<int32_t> route(const FfnShape& shape, int64_t tokens, const std::vector<float>& input,
                           const FeedForward& feed_forward) {
  const mox_range all{nullptr, 0, tokens};
  auto batch = batch_of(tokens, input);
  batch.ranges = &all;
  batch.range_count = 1;
  const auto routing = make<Routing>(mox_feed_forward_route, feed_forward.get(), &batch);
  std::vector<int32_t> experts(static_cast<size_t>(tokens * shape.top_k));
  call(mox_routing_read, routing.get(), int64_t{0}, int64_t{0}, nullptr, experts.data(), nullptr);
  return experts;
}

}  // namespace

Workload::Workload(const FfnShape& shape, int64_t tokens, const FeedForward& feed_forward)
    : shape_(shape), tokens_(tokens), output_(static_cast<size_t>(tokens * shape.hidden)) {
  add_batch();
  if (shape.experts == 1) {
    experts_used_.push_back(1);
    return;
  }
  std::set<int32_t> all;
  for (;;) {
    const auto experts = route(shape, tokens, inputs_.back(), feed_forward);
    experts_used_.push_back(static_cast<int64_t>(std::set<int32_t>(experts.begin(), experts.end()).size()));
    all.insert(experts.begin(), experts.end());
    rotation_experts_ = static_cast<int64_t>(all.size());
    const bool enough = rotation_experts_ == shape.experts || rotation_bytes() >= 4 * caches().total;
    const int64_t bytes = static_cast<int64_t>(inputs_.size() + 1) * tokens * shape.hidden * 4;
    const bool full = inputs_.size() >= kMostBatches || bytes > kMostInputBytes;
    if ((enough && inputs_.size() >= 2) || full) return;
    add_batch();
  }
}

void Workload::add_batch() {
  inputs_.push_back(random_values(tokens_ * shape_.hidden, 1, kFirstSeed + inputs_.size()));
}

double Workload::weight_bytes(size_t batch) const {
  return static_cast<double>(experts_used(batch) * shape_.expert_bytes());
}

double Workload::operations() const {
  return 2.0 * 3 * static_cast<double>(shape_.hidden) * static_cast<double>(shape_.ffn) *
         static_cast<double>(shape_.top_k * tokens_);
}

double Workload::milliseconds(const FeedForward& feed_forward, size_t batch) {
  return milliseconds(feed_forward, batch, {{nullptr, 0, tokens_}});
}

double Workload::milliseconds(const FeedForward& feed_forward, size_t index, const std::vector<mox_range>& ranges) {
  auto batch = batch_of(tokens_, inputs_[index % batches()]);
  batch.output = output_.data();
  batch.ranges = ranges.data();
  batch.range_count = ranges.size();
  const auto begin = std::chrono::steady_clock::now();
  call(mox_feed_forward_run, feed_forward.get(), &batch, nullptr, nullptr);
  return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - begin).count();
}

}  // namespace moxie::cli::bench
