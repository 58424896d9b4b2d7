// What the processor and the operating system allow.
#pragma once

#include <string>

#include "moxie/runtime.h"

namespace moxie {

mox_isa machine_isa();   // highest level; cached
std::string cpu_name();  // the processor's own name
int usable_cpus();       // CPUs this process may run on

}  // namespace moxie
