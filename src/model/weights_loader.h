// From a checkpoint's tensors to packed weights: what every opener of a model, a block or a feed-forward shares.
#pragma once

#include <string>
#include <vector>

#include "checkpoint/checkpoint.h"
#include "moe/feed_forward.h"
#include "moxie/feed_forward.h"
#include "transformer/block.h"

namespace moxie::model {

// Collects which tensor goes where, then reads and packs all of them on several threads.
class WeightsLoader {
 public:
  // weights: how linears are to be held.
  WeightsLoader(const checkpoint::Checkpoint& checkpoint, mox_weights weights);

  // Decides the dtype of the linears named: bfloat16 as stored only where all of them are.
  void decide_dtype(const std::vector<std::string>& weight_names);

  // Makes room for the linear and remembers to fill it. `name` is its weight's; with_bias: its bias must be there too.
  void add_linear(const std::string& name, int64_t out, int64_t in, bool with_bias, moe::Linear* linear);
  std::vector<float> vector(const std::string& name, int64_t size);
  std::vector<float> matrix_float32(const std::string& name, int64_t rows, int64_t columns);

  // Reads and packs everything added.
  void run(int threads);

  [[nodiscard]] checkpoint::TensorReader& reader() { return reader_; }
  [[nodiscard]] const checkpoint::Architecture& architecture() const { return checkpoint_.architecture; }
  [[nodiscard]] int64_t parameters() const { return parameters_; }

 private:
  struct Job {
    kernels::PackedMatrix* destination;
    const checkpoint::TensorEntry* entry;
  };
  const checkpoint::Checkpoint& checkpoint_;
  checkpoint::TensorReader reader_;
  mox_weights weights_;
  DType dtype_ = MOX_F32;
  std::vector<Job> jobs_;
  int64_t parameters_ = 0;
};

// Names of all linears of a layer, for decide_dtype.
std::vector<std::string> feed_forward_linears(const checkpoint::Architecture& architecture, int64_t layer);
std::vector<std::string> attention_linears(const checkpoint::Architecture& architecture, int64_t layer);

// Fills structure and adds the linears. `feed_forward` and `block` must stay where they are until run().
void add_feed_forward(WeightsLoader* loader, int64_t layer, moe::FeedForward* feed_forward);
void add_block(WeightsLoader* loader, int64_t layer, transformer::Block* block);

transformer::Geometry geometry_of(const checkpoint::Architecture& architecture);

// Error where the checkpoint has no such layer.
void require_layer(const checkpoint::Checkpoint& checkpoint, int64_t layer);

}  // namespace moxie::model
