#pragma once

#include "kernels/kernels.h"

namespace moxie::kernels::reference {
#include "kernels/level_functions.inl"
}  // namespace moxie::kernels::reference
