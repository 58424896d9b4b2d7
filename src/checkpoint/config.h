// From config.json or params.json to an Architecture.
#pragma once

#include <string>

#include "checkpoint/architecture.h"
#include "checkpoint/json.h"

namespace moxie::checkpoint {

// `file` is for messages. Fields that would change the result and that we do not honour are refused by name; fields
// nobody knows are passed over, because checkpoints carry many that change nothing.
Architecture read_hugging_face_config(const Json& config, const std::string& file);
Architecture read_mistral_params(const Json& params, const std::string& file);

}  // namespace moxie::checkpoint
