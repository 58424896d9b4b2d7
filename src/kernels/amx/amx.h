// AMX bf16: whether this machine's tiles can be trusted.
#pragma once

namespace moxie::kernels::amx {

// "" where a small product by the instructions agrees with their emulation; asked once, on machines that have them.
const char* refusal();

}  // namespace moxie::kernels::amx
