#pragma once

#include "kernels/kernels.h"

namespace moxie::kernels::portable {
#include "kernels/level_functions.inl"
}  // namespace moxie::kernels::portable
