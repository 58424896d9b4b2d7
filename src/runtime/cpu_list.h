// Lists of CPUs as Linux writes them: "0-15,32".
#pragma once

#include <string>
#include <vector>

namespace moxie {

// In the order written. Error naming `what` where the text is no such list, or names a CPU twice.
std::vector<int> parse_cpu_list(const std::string& text, const std::string& what);

// Runs of consecutive CPUs put together, in the order given.
std::string cpu_list_text(const std::vector<int>& cpus);

}  // namespace moxie
