#pragma once

#include "moxie/runtime.h"

namespace moxie::kernels {

// As MOXIE_ISA takes them, for reasons and messages.
const char* isa_name(mox_isa isa);

}  // namespace moxie::kernels
