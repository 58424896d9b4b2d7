// adapter_config.json of MoE-PEFT: everything that changes the result is honoured here or refused by name.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "checkpoint/json.h"
#include "moxie/adapter.h"

namespace moxie::adapter {

// How a pair of factors counts.
struct FactorSettings {
  int32_t rank = 0;
  double alpha = 0;
  bool rslora = false;
  bool dora = false;
  [[nodiscard]] double scaling() const;  // alpha / rank, or alpha / sqrt(rank)
};

struct AdapterConfig {
  std::string file;  // for messages
  mox_adapter_kind kind = MOX_ADAPTER_LORA;
  bool kind_known = false;  // false only after a refusal
  FactorSettings plain;     // of factors without experts
  FactorSettings experts;   // of experts' factors: expert_lora over `plain`; never DoRA in LoRAMoE and MoLA
  bool expert_lora = false;
  int32_t expert_count = 0;  // 0: plain LoRA
  int32_t top_k = 0;         // MixLoRA top-k, MoLA
  double top_p = 0, temperature = 0;
  int64_t capacity = 0;
  mox_activation activation = MOX_ACTIVATION_BASE;
  std::string activation_name;
  std::vector<std::string> targets;  // sorted, those switched on
  bool router_loss = false;
  double balance_coefficient = 0.001, z_coefficient = 0.001;
  bool classifies = false;  // task_type SEQ_CLS: a classifier may stand beside the factors
  std::string base_name;    // as written, for show

  [[nodiscard]] bool targets_linear(std::string_view name) const;
  // Each linear of the feed-forward (MoLA: of attention too) has experts and a router of its own.
  [[nodiscard]] bool plugs_in(bool attention) const;
};

// Who wrote the folder: "MoE-PEFT", "PEFT" or "mistral".
std::string adapter_format(const std::string& folder);

// Error on the first thing that cannot be honoured.
AdapterConfig read_adapter_config(const std::string& folder);

// The same, going on as far as it can: what read_adapter_config would refuse is appended to problems.
AdapterConfig inspect_adapter_config(const std::string& folder, std::vector<std::string>* problems);

}  // namespace moxie::adapter
