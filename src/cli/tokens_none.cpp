#include "cli/failure.h"
#include "cli/tokens.h"

namespace moxie::cli {

std::unique_ptr<Tokenizer> open_tokenizer(const std::string&) {
  throw Failure(
      "this build of moxie has no tokenizer, so it takes token windows (--windows) but no text. To get one, "
      "install libsentencepiece-dev and configure with -DMOXIE_WITH_SENTENCEPIECE=ON.");
}

bool has_tokenizers() { return false; }

}  // namespace moxie::cli
