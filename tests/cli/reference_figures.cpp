#include "reference_figures.h"

#include "program.h"

namespace moxie::test {

const nlohmann::json& reference_figures() {
  static const auto figures = nlohmann::json::parse(read_file(bundled("reference.json")));
  return figures.at("models");
}

std::vector<std::string> heldout_texts() {
  if (MOXIE_SANITIZED) return {"kjv"};
  return {"kjv", "moby", "sotu", "jargon"};
}

std::vector<std::string> llama_adapters() {
  std::vector<std::string> adapters;
  for (const auto& [name, figures] : reference_figures().items()) {
    if (name.rfind("tiny-", 0) != 0) adapters.push_back(name);
  }
  return adapters;
}

std::vector<std::string> llama_with_all_adapters() {
  std::vector<std::string> arguments{"--model", bundled("tiny-llama"), "--weights", "float32"};
  for (const auto& adapter : llama_adapters()) {
    arguments.insert(arguments.end(), {"--adapter", adapter + "=" + bundled(adapter)});
  }
  return arguments;
}

}  // namespace moxie::test
