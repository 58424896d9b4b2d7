// From adapter files, or the caller's factors, to an Adapter.
#pragma once

#include <string>

#include "adapter/adapter.h"
#include "adapter/base_linears.h"
#include "moxie/adapter.h"

namespace moxie::adapter {

// Reads a MoE-PEFT adapter folder over `base`. layers of the result: one entry where base.only_layer is set, else
// layer_count entries.
Adapter open_adapter(const std::string& folder, const BaseLinears& base);

// From the caller's factors, over one feed-forward (base.layers has one entry).
Adapter create_adapter(const mox_adapter_description& description, const BaseLinears& base);

}  // namespace moxie::adapter
