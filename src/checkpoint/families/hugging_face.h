// What the families of config.json share.
#pragma once

#include "checkpoint/families/family.h"

namespace moxie::checkpoint {

FieldNames hugging_face_fields();

// Embedding, norms, attention and head.
TensorNames hugging_face_names();

// The same with a dense feed-forward.
TensorNames hugging_face_dense_names();

// Fields known to change what a decoder computes, of any family.
std::vector<RefusedField> hugging_face_refused(std::vector<RefusedField> more = {});

}  // namespace moxie::checkpoint
