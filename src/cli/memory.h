// How much memory there is.
#pragma once

#include <cstdint>
#include <string>

namespace moxie::cli {

// Bytes the system can give without swapping (MemAvailable); -1 where it does not say.
int64_t available_memory();

// Bytes of memory this process holds now (VmRSS); 0 where the system does not say.
int64_t resident_memory();

// Throws Failure where `needed` bytes are more than there are.
void require_memory(int64_t needed, const std::string& what);

}  // namespace moxie::cli
