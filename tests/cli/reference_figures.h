// What the reference implementations measured with the bundled models (reference.json).
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace moxie::test {

const nlohmann::json& reference_figures();

// The held-out texts to measure on: one where the program is instrumented and slow.
std::vector<std::string> heldout_texts();

// The bundled adapters over tiny-llama.
std::vector<std::string> llama_adapters();

// --model tiny-llama --adapter NAME=DIR ... for all of them, float32 as the reference computed.
std::vector<std::string> llama_with_all_adapters();

}  // namespace moxie::test
