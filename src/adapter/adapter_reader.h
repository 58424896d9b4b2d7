// The tensors of an adapter folder, laid over a base as its configuration says.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "adapter/adapter.h"
#include "adapter/adapter_config.h"
#include "adapter/base_linears.h"
#include "adapter/factors.h"
#include "adapter/linears.h"
#include "checkpoint/tensor_source.h"

namespace moxie::adapter {

class AdapterReader {
 public:
  AdapterReader(const AdapterConfig& config, const checkpoint::TensorSource& tensors, const BaseLinears& base);

  // Fills the layers, the number of parameters, and whether DoRA is in effect. Every tensor is used or refused.
  void read(Adapter* adapter);

 private:
  // Sizes of a linear; 0 where the base does not say.
  struct Sizes {
    int64_t in = 0, out = 0;
  };

  void refuse_over_experts() const;
  void refuse_without_effect() const;
  [[nodiscard]] std::vector<int64_t> layers_to_check() const;
  [[nodiscard]] bool is_kept(int64_t layer) const { return base_.only_layer < 0 || layer == base_.only_layer; }
  // Whether the adapter has factors there: the target is named, and the base has the linear.
  [[nodiscard]] bool covers(const Linear& linear, const BaseLinear& base) const;

  void read_layer(int64_t layer, LayerAdapter* kept);
  void read_linear(const std::string& name, const Linear& linear, const BaseLinear& base, LayerAdapter* kept);
  void read_classifier();

  [[nodiscard]] Sizes sizes_of(const Linear& linear, const BaseLinear& base, const std::string& first_pair) const;
  // The gate [expert_count, in]; empty where it is only checked.
  std::vector<float> read_gate(const std::string& name, int64_t in, bool keep);
  Factors read_pair(const std::string& name, int64_t rank, Sizes sizes, bool dora, bool keep);
  std::vector<float> read_tensor(const std::string& name, const std::vector<int64_t>& shape, bool keep);
  void require_both(const std::string& a, const std::string& b) const;
  [[nodiscard]] Router make_router(const std::vector<float>& gate, int64_t in) const;
  [[nodiscard]] std::string place() const { return reader_.source().path(); }

  const AdapterConfig& config_;
  const BaseLinears& base_;
  checkpoint::TensorReader reader_;
  int64_t parameters_ = 0;
  bool dora_ = false;
};

}  // namespace moxie::adapter
