#pragma once

#include <string>

#include "moxie/runtime.h"

namespace moxie::kernels::onednn {

// "" when oneDNN can serve this instruction-set level, else why not. oneDNN picks its instructions itself, once for
// the whole process: the first call settles the level, later ones for another level are refused.
std::string refusal(mox_isa isa_limit);

// The level that the first refusal() settled; the machine's before.
mox_isa settled_isa();

}  // namespace moxie::kernels::onednn
