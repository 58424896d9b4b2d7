#include <sentencepiece_processor.h>

#include <filesystem>

#include "cli/failure.h"
#include "cli/tokens.h"

namespace moxie::cli {
namespace {

class SentencePiece : public Tokenizer {
 public:
  explicit SentencePiece(const std::string& path) { check(processor_.Load(path), path); }

  std::vector<int32_t> encode(const std::string& text) const override {
    std::vector<int> ids;
    check(processor_.Encode(text, &ids), "encoding a text");
    return {ids.begin(), ids.end()};
  }

  std::string decode(const std::vector<int32_t>& tokens) const override {
    std::string text;
    check(processor_.Decode(std::vector<int>(tokens.begin(), tokens.end()), &text), "decoding tokens");
    return text;
  }

 private:
  static void check(const sentencepiece::util::Status& status, const std::string& where) {
    if (!status.ok()) throw Failure(where + ": " + status.ToString());
  }

  sentencepiece::SentencePieceProcessor processor_;
};

}  // namespace

std::unique_ptr<Tokenizer> open_tokenizer(const std::string& model_folder) {
  const auto path = std::filesystem::path(model_folder) / "tokenizer.model";
  if (!std::filesystem::exists(path)) {
    throw Failure(path.string() +
                  ": no such file; text needs the model's SentencePiece tokenizer there "
                  "(tokenizer.json is not read)");
  }
  return std::make_unique<SentencePiece>(path.string());
}

bool has_tokenizers() { return true; }

}  // namespace moxie::cli
