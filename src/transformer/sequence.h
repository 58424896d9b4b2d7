// What one sequence remembers: keys, values, and what its switch routers have served.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <vector>

namespace moxie::transformer {

// Positions of one block of the cache. Blocks start at multiples of this, so that attention sums in the same order
// however the sequence was fed.
constexpr int64_t cache_block = 64;

// Keys and values of one layer, in blocks that forks share until one of them writes.
class LayerCache {
 public:
  explicit LayerCache(int64_t width = 0) : width_(width) {}

  // Makes positions [begin, end) writable: allocates blocks, and copies those that are shared.
  void prepare(int64_t begin, int64_t end);
  [[nodiscard]] float* key(int64_t position) { return block(position)->data() + position % cache_block * width_; }
  [[nodiscard]] float* value(int64_t position) { return key(position) + cache_block * width_; }
  [[nodiscard]] const float* key_block(int64_t index) const { return blocks_[static_cast<size_t>(index)]->data(); }
  [[nodiscard]] const float* value_block(int64_t index) const { return key_block(index) + cache_block * width_; }
  [[nodiscard]] int64_t width() const { return width_; }
  // Gives up blocks behind the first `length` positions.
  void truncate(int64_t length);
  [[nodiscard]] LayerCache fork() const { return *this; }

 private:
  using Block = std::vector<float>;  // [cache_block][width] keys, then as many values
  Block* block(int64_t position) { return blocks_[static_cast<size_t>(position / cache_block)].get(); }

  int64_t width_;
  std::vector<std::shared_ptr<Block>> blocks_;
};

// Which experts a switch router chose for the rows so far, in one layer: its capacity counts per sequence, and a
// sequence gives the same rows whether it comes in one step or in many.
struct SwitchMemory {
  uint64_t adapter = 0;         // id of the adapter whose router it is, 0: none yet; another one starts afresh
  int64_t first_row = 0;        // rows before were routed by somebody else
  std::vector<int32_t> chosen;  // of rows first_row, first_row + 1, ...
  std::vector<int64_t> served;  // [experts]
};

struct Sequence {
  Sequence(int64_t layer_count, int64_t cache_width, int64_t first_position_of_sequence);

  // A second sequence that remembers the same.
  [[nodiscard]] std::unique_ptr<Sequence> fork() const;
  void truncate(int64_t new_length);

  int64_t length = 0;          // rows held
  int64_t first_position = 0;  // position of row 0
  std::vector<LayerCache> layers;
  std::vector<SwitchMemory> switches;  // [layers]
  const void* owner = nullptr;         // the model or block it was made for
  mutable std::atomic<bool> busy{false};
};

}  // namespace moxie::transformer
