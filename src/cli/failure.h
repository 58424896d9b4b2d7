// How a command ends.
#pragma once

#include <stdexcept>
#include <string>

namespace moxie::cli {

enum Exit : int {
  kSuccess = 0,
  kFailed = 1,  // the command could not do its work, or its answer is "no"
  kUsage = 2,   // the command line makes no sense; parity: a case could not be run
};

// The command line asks for something that cannot be meant.
class UsageError : public std::runtime_error {
  using std::runtime_error::runtime_error;
};

// What the user gave cannot be worked with: a file that does not fit, too little memory.
class Failure : public std::runtime_error {
  using std::runtime_error::runtime_error;
};

}  // namespace moxie::cli
