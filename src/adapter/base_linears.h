// The base's linears as an adapter's reader sees them: sizes to check against, rows for DoRA's norms.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "kernels/kernels.h"
#include "moxie/types.h"

namespace moxie::adapter {

// One linear the base has. `weight` NULL: the base holds no such weights here (attention of a lone feed-forward), so
// factors are checked for shape and left aside.
struct BaseLinear {
  int64_t in = 0, out = 0;
  const kernels::PackedMatrix* weight = nullptr;
  [[nodiscard]] bool exists() const { return out > 0; }
};

struct BaseLayer {
  BaseLinear q, k, v, o;
  BaseLinear gate, up, down;  // absent where the base's feed-forward is a bank of experts
};

// Who computes DoRA's norms, and on how many threads.
struct NormMaker {
  const kernels::Kernels* kernels = nullptr;  // static
  int threads = 1;
};

// What an adapter is laid over.
struct BaseLinears {
  std::string family;  // for messages
  int64_t hidden = 0;
  bool bank_of_experts = false;  // the base routes already: adapters on the feed-forward are refused by name
  bool gated = true;
  NormMaker norms;
  // Layers of the whole checkpoint. For a lone block or feed-forward only `only_layer` has weights (and if the number
  // of layers is unknown, as over the caller's own weights, layer_count is -1 and sizes of every layer are those of
  // layers[0]).
  int64_t layer_count = 0;
  int64_t only_layer = -1;        // -1: all
  std::vector<BaseLayer> layers;  // layer_count entries, or one where only_layer is set
  [[nodiscard]] const BaseLayer& layer(int64_t index) const {
    return layers.size() == 1 ? layers[0] : layers[static_cast<size_t>(index)];
  }
};

}  // namespace moxie::adapter
