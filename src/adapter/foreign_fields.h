// Fields of adapter_config.json that MoE-PEFT does not have, and those it has but that change nothing here.
#pragma once

#include "adapter/refusals.h"
#include "checkpoint/json.h"

namespace moxie::adapter {

// True for a field that only PEFT writes.
bool is_peft_field(const std::string& name);

// Refuses every field that is neither MoE-PEFT's, nor known to be harmless, nor at a value that changes nothing.
void refuse_foreign_fields(const checkpoint::Fields& fields, const Refusals& refusals);

// The same for expert_lora.
void refuse_foreign_expert_fields(const checkpoint::Fields& fields, const Refusals& refusals);

}  // namespace moxie::adapter
