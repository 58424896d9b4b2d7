// B z of sets that few rows of a call use. To read such a set's B is nearly all of the work, and memory gives long
// stretches faster than the few panels of a tile: so they are made before the tiles are, each from one end of B to the
// other.
#pragma once

#include <cstdint>
#include <memory_resource>
#include <vector>

#include "moe/lora_input.h"

namespace moxie::moe {

// Decides which sets of an input are made so, and takes the memory.
void plan_deltas(Workspace& workspace, LoraInput* input);

// After the inputs' z is known.
void make_deltas(const Context& context, const std::pmr::vector<const LoraInput*>& inputs);

}  // namespace moxie::moe
