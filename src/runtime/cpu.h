// What the processor and the operating system allow.
#pragma once

#include <string>
#include <vector>

#include "moxie/runtime.h"

namespace moxie {

mox_isa machine_isa();   // highest level; cached
std::string cpu_name();  // the processor's own name

// Whether a VDPBF16PS takes longer than the shift, the mask and the two float32 multiplications it stands for. On
// Intel's cores since Sapphire Rapids it occupies both multipliers for two cycles, and a multiplication one for one.
bool vdpbf16ps_is_slow();

// CPUs the calling thread may run on, ascending; never empty.
std::vector<int> allowed_cpus();

}  // namespace moxie
