#pragma once

#include "kernels/kernels.h"
#include "kernels/packing.h"

namespace moxie::kernels::portable {
#include "kernels/level_functions.inl"
}  // namespace moxie::kernels::portable
