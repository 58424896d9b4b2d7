// Which tensors an architecture has, and of which shape.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "checkpoint/architecture.h"
#include "checkpoint/tensor_source.h"

namespace moxie::checkpoint {

struct Role {
  std::string pattern;
  std::vector<int64_t> shape;  // ignored for harmless tensors
  int64_t layers = 1;          // how many of them there are: layers x experts
  int64_t experts = 1;
  bool required = true;   // a tied head may be there or not
  bool harmless = false;  // a buffer nobody reads
};

std::vector<Role> roles_of(const Architecture& architecture);

// The role that explains a tensor's name, or NULL.
const Role* role_of(const std::vector<Role>& roles, std::string_view name);

// Everything that keeps these tensors from being a whole model, as loading would say it: tensors nobody uses, of a
// wrong shape or dtype, and those that are missing.
std::vector<std::string> tensor_problems(const Architecture& architecture, const TensorSource& tensors);

}  // namespace moxie::checkpoint
