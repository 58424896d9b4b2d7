// What the processor and the operating system allow.
#pragma once

#include <string>
#include <vector>

#include "moxie/runtime.h"

namespace moxie {

mox_isa machine_isa();   // highest level; cached
std::string cpu_name();  // the processor's own name

// CPUs the calling thread may run on, ascending; never empty.
std::vector<int> allowed_cpus();

}  // namespace moxie
