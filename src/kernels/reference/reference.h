#pragma once

#include "kernels/kernels.h"
#include "kernels/packing.h"

namespace moxie::kernels::reference {
#include "kernels/level_functions.inl"
}  // namespace moxie::kernels::reference
