// Adapters as the kernels want them: factors packed, scalings and norms resolved, routers in float32.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "kernels/factor_bank.h"
#include "moxie/adapter.h"
#include "moxie/types.h"

namespace moxie::adapter {

// "lora", "mixlora", "mixlora-dynamic", ...
const char* kind_name(mox_adapter_kind kind);
// MixLoRA of any routing: one router for a whole feed-forward.
bool is_mixlora(mox_adapter_kind kind);
// How the routers of such an adapter decide; plain LoRA has none.
mox_router_kind router_kind_of(mox_adapter_kind kind);

// A gate [experts, in] in float32, row by row, with how its logits become weights.
struct Router {
  mox_router_kind kind = MOX_ROUTER_MIXLORA;
  int32_t experts = 0;
  int32_t top_k = 0;      // MIXLORA, MOLA, TOP_K
  float top_p = 0;        // DYNAMIC
  float temperature = 0;  // DYNAMIC
  int64_t capacity = 0;   // SWITCH
  int64_t in = 0;
  kernels::FactorBank gate;  // [experts, in], each row a panel

  void set_gate(const std::vector<float>& rows);  // experts and in are set
  [[nodiscard]] const float* gate_row(int64_t expert) const;
  // Ids and weights per row: see mox_routing_info.
  [[nodiscard]] int32_t places() const;
};

// LoRA factors over one linear W [out, in].
//
// `sets` is 1 for plain LoRA, and for plug-in experts that all act on every row (LoRAMoE): one set whose rank is
// experts x rank, the experts' factors side by side, because their weighted sum is one product of the weighted z. Where
// rows choose among experts it is their number: MixLoRA, each with an output of its own, and MoLA, whose chosen ones
// are added to one output.
struct LoraSets {
  int64_t in = 0, out = 0;
  int32_t sets = 1;
  int32_t rank = 0;       // of one set
  float scaling = 1;      // alpha / r, or alpha / sqrt(r)
  kernels::FactorBank a;  // of each set [rank, in], in panels of 16
  kernels::FactorBank b;  // of each set [out, rank], in panels of 32
  // DoRA: per set magnitude / norm [out]; empty: plain LoRA.
  std::vector<std::vector<float>> rescale;
  // Plug-in experts: how z is weighted.
  std::optional<Router> router;
  // Those side by side: z[e * expert_rank + j] *= weight_e. rank = router->experts * expert_rank.
  int32_t expert_rank = 0;

  // Plug-in experts of which a row takes only some.
  [[nodiscard]] bool chooses() const { return router && sets > 1; }
};

// What lies over one feed-forward.
struct FeedForwardAdapter {
  std::optional<Router> router;  // MixLoRA: routes the whole feed-forward
  mox_activation activation = MOX_ACTIVATION_BASE;
  std::optional<LoraSets> gate, up, down;  // a plain feed-forward's first linear is `gate`
  [[nodiscard]] bool empty() const { return !router && !gate && !up && !down; }
};

struct AttentionAdapter {
  std::optional<LoraSets> q, k, v, o;
  [[nodiscard]] bool empty() const { return !q && !k && !v && !o; }
};

struct LayerAdapter {
  AttentionAdapter attention;
  FeedForwardAdapter feed_forward;
};

struct Adapter {
  uint64_t id = 0;  // no two adapters of a process share one; 0: not given yet
  std::string name;
  mox_adapter_kind kind = MOX_ADAPTER_LORA;
  int32_t experts = 0, top_k = 0, rank = 0;
  bool dora = false;
  int64_t parameters = 0;
  int64_t bytes = 0;
  std::vector<LayerAdapter> layers;  // one for each layer of the base it lies over
  // Router loss, as adapter_config.json says.
  bool has_router_loss = false;
  mox_router_kind router_kind = MOX_ROUTER_MIXLORA;
  float top_p = 0, temperature = 0;
  int64_t capacity = 0;
  double balance_coefficient = 0.001, z_coefficient = 0.001;
};

}  // namespace moxie::adapter
