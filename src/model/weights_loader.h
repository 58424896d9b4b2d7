// From a checkpoint's tensors to packed weights: what every opener of a model, a block or a feed-forward shares.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <vector>

#include "checkpoint/checkpoint.h"
#include "kernels/pack_together.h"
#include "model/load_settings.h"
#include "moe/linear.h"

namespace moxie::model {

// Collects which tensor goes where, then fills all linears on several threads: from a packed cache, or by reading and
// packing pieces small enough that little more than the result is ever in memory. Linears lie side by side in one piece
// of memory.
class WeightsLoader {
 public:
  // holds: what of the checkpoint is loaded, "model" or "block 3". All must outlive this.
  WeightsLoader(const checkpoint::Checkpoint& checkpoint, const LoadSettings& settings, std::string holds);

  // Decides the dtype of the linears named: bfloat16 as stored only where all of them are.
  void decide_dtype(const std::vector<std::string>& weight_names);

  // Keeps room for the linear, which must stay where it is until run() fills it. `name` is its weight's; with_bias: its
  // bias must be there too.
  void add_linear(const std::string& name, int64_t out, int64_t in, bool with_bias, moe::Linear* linear);
  std::vector<float> vector(const std::string& name, int64_t size);
  std::vector<float> matrix_float32(const std::string& name, int64_t rows, int64_t columns);

  // Remembers to read all rows of the matrix, as stored, into memory that is filled by run().
  std::shared_ptr<const std::byte> add_rows(const checkpoint::TensorEntry& entry);

  // Fills everything added.
  void run();

  [[nodiscard]] checkpoint::TensorReader& reader() { return reader_; }
  [[nodiscard]] const checkpoint::Architecture& architecture() const { return checkpoint_.architecture; }
  [[nodiscard]] int64_t parameters() const { return parameters_; }

 private:
  struct Rows {
    std::byte* to;
    const checkpoint::TensorEntry* entry;
  };
  struct Linear {
    kernels::PackedMatrix* matrix;
    const checkpoint::TensorEntry* entry;
    int64_t n, k;
  };
  void copy_rows() const;
  [[nodiscard]] kernels::PackedTogether pack() const;

  const checkpoint::Checkpoint& checkpoint_;
  const LoadSettings& settings_;
  std::string holds_;
  checkpoint::TensorReader reader_;
  DType dtype_ = MOX_F32;
  std::vector<Linear> linears_;
  std::vector<Rows> rows_;
  int64_t parameters_ = 0;
};

}  // namespace moxie::model
