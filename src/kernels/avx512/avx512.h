#pragma once

#include "kernels/kernels.h"
#include "kernels/packing.h"

namespace moxie::kernels::avx512 {
#include "kernels/level_functions.inl"
}  // namespace moxie::kernels::avx512
