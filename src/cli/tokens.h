// Text to tokens and back.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace moxie::cli {

class Tokenizer {
 public:
  virtual ~Tokenizer() = default;
  virtual std::vector<int32_t> encode(const std::string& text) const = 0;
  virtual std::string decode(const std::vector<int32_t>& tokens) const = 0;
};

// The tokenizer of a model's folder (tokenizer.model). Throws Failure saying what is missing and how to get it.
std::unique_ptr<Tokenizer> open_tokenizer(const std::string& model_folder);

// Whether this build reads tokenizers at all.
bool has_tokenizers();

}  // namespace moxie::cli
