// Strict JSON: duplicate keys, deep nesting, trailing text and invalid UTF-8 are refused, and no exception of the
// library behind it gets out.
#pragma once

#include <cstdint>
#include <limits>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>

namespace moxie::checkpoint {

using Json = nlohmann::ordered_json;

constexpr int deepest_json = 64;
constexpr int64_t largest_config = int64_t{16} << 20;

// `file` is for messages. Error MOX_INVALID_FILE saying where.
Json parse_json(std::string_view text, const std::string& file);

// The JSON object a file holds; MOX_NOT_FOUND where there is no such file.
Json read_json_object(const std::string& path, int64_t limit = largest_config);

// The value where it is an integer of 64 bits with sign.
std::optional<int64_t> as_integer(const Json& value);

// A value as messages show it: cut short where long.
std::string show(const Json& value);

// The fields of a JSON object, typed. A field of the wrong type or outside of its range is refused by name and value:
// "config.json: hidden_size is "48"; expected an integer from 1 to 1048576". null counts as absent unless said
// otherwise.
class Fields {
 public:
  // `object` must be an object and outlive this. `prefix` comes before names in messages ("rope_scaling.").
  Fields(const Json& object, std::string file, std::string prefix = "");

  [[nodiscard]] const Json& json() const { return *object_; }
  [[nodiscard]] const std::string& file() const { return file_; }

  // Whether the field is there, null included.
  [[nodiscard]] bool present(const std::string& name) const;
  // Whether it is there and not null.
  [[nodiscard]] bool has(const std::string& name) const;

  [[nodiscard]] std::optional<int64_t> integer(const std::string& name, int64_t least, int64_t most) const;
  [[nodiscard]] int64_t require_integer(const std::string& name, int64_t least, int64_t most) const;
  // Finite, and least <= value <= most.
  [[nodiscard]] std::optional<double> number(const std::string& name,
                                             double least = std::numeric_limits<double>::lowest(),
                                             double most = std::numeric_limits<double>::max()) const;
  [[nodiscard]] double require_number(const std::string& name, double least = std::numeric_limits<double>::lowest(),
                                      double most = std::numeric_limits<double>::max()) const;
  // Finite, and 0 < value <= most.
  [[nodiscard]] std::optional<double> positive(const std::string& name, double most) const;
  [[nodiscard]] double require_positive(const std::string& name, double most) const;
  [[nodiscard]] std::optional<bool> boolean(const std::string& name) const;
  [[nodiscard]] std::optional<std::string> string(const std::string& name) const;
  // The value, or NULL where absent or null.
  [[nodiscard]] const Json* value(const std::string& name) const;
  // The fields of an object within.
  [[nodiscard]] std::optional<Fields> object(const std::string& name) const;
  // An array (elements unchecked), or NULL where absent or null.
  [[nodiscard]] const Json* array(const std::string& name) const;

  // "FILE: NAME is VALUE; expected EXPECTED", or "FILE: NAME is missing; ...".
  [[noreturn]] void refuse(const std::string& name, const std::string& expected) const;
  // The same as MOX_UNSUPPORTED: well formed, but not for us.
  [[noreturn]] void refuse_unsupported(const std::string& name, const std::string& why) const;

 private:
  [[nodiscard]] std::string describe(const std::string& name) const;

  const Json* object_;
  std::string file_;
  std::string prefix_;
};

}  // namespace moxie::checkpoint
