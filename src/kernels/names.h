#pragma once

#include "moxie/runtime.h"

namespace moxie::kernels {

// As MOXIE_ISA and MOXIE_BACKEND take them; never NULL.
const char* isa_name(mox_isa isa);
const char* backend_name(mox_backend backend);

}  // namespace moxie::kernels
