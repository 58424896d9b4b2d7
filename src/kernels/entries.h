// The rows of the table of kernels, each defined in its own room.
#pragma once

#include "kernels/kernels.h"

namespace moxie::kernels::entries {

extern const Kernels amx;
extern const Kernels amx_emulated;  // for the tests
extern const Kernels avx512_bf16;
extern const Kernels avx512;
extern const Kernels avx2;
extern const Kernels portable;
extern const Kernels onednn;  // where the build has it
extern const Kernels eigen;
extern const Kernels reference;

}  // namespace moxie::kernels::entries
