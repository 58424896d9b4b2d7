#include "checkpoint/json.h"

#include <cmath>
#include <cstdio>
#include <set>
#include <utility>
#include <vector>

#include "checkpoint/file_access.h"
#include "checkpoint/text.h"
#include "runtime/error.h"

namespace moxie::checkpoint {
namespace {

constexpr size_t longest_value = 120;

// Builds the document from the parser's events. An ordered object finds a key in linear time, so keys already met are
// kept in sets of our own: a hostile header of a million keys must not take hours.
class Builder : public nlohmann::json_sax<Json> {
 public:
  bool null() override { return add(nullptr); }
  bool boolean(bool value) override { return add(value); }
  bool number_integer(number_integer_t value) override { return add(value); }
  bool number_unsigned(number_unsigned_t value) override { return add(value); }
  bool number_float(number_float_t value, const string_t& /*text*/) override { return add(value); }
  bool string(string_t& value) override { return add(std::move(value)); }
  bool binary(binary_t& /*value*/) override { return fail("binary data"); }
  bool start_object(std::size_t /*elements*/) override { return open(Json::object()); }
  bool start_array(std::size_t /*elements*/) override { return open(Json::array()); }
  bool end_object() override { return close(); }
  bool end_array() override { return close(); }

  bool key(string_t& value) override {
    Level& level = levels_.back();
    if (!level.keys.insert(value).second) return fail("duplicate key " + quote(value));
    level.key = std::move(value);
    return true;
  }

  bool parse_error(std::size_t position, const std::string& /*last*/,
                   const nlohmann::detail::exception& error) override {
    // What the parser says begins with its own identification in brackets.
    std::string text = error.what();
    const size_t end = text.find("] ");
    if (end != std::string::npos) text.erase(0, end + 2);
    problem_ = "at byte " + std::to_string(position) + ": " + text;
    return false;
  }

  [[nodiscard]] const std::string& problem() const { return problem_; }
  Json take() { return std::move(root_); }

 private:
  struct Level {
    Json value;
    std::string key;
    std::set<std::string> keys;
  };

  bool fail(const std::string& problem) {
    problem_ = problem;
    return false;
  }

  bool open(Json value) {
    if (levels_.size() >= deepest_json) return fail("nested deeper than " + std::to_string(deepest_json) + " levels");
    levels_.push_back({std::move(value), {}, {}});
    return true;
  }

  bool close() {
    Json value = std::move(levels_.back().value);
    levels_.pop_back();
    return add(std::move(value));
  }

  bool add(Json value) {
    if (levels_.empty()) {
      root_ = std::move(value);
      return true;
    }
    Level& level = levels_.back();
    if (level.value.is_array()) {
      level.value.push_back(std::move(value));
    } else {
      // The key is known to be new: straight to the container, past the linear search.
      level.value.get_ref<Json::object_t&>().emplace_back(std::move(level.key), std::move(value));
    }
    return true;
  }

  std::vector<Level> levels_;
  Json root_;
  std::string problem_;
};

std::string number_text(double value) {
  char text[32];
  std::snprintf(text, sizeof(text), "%.12g", value);
  return text;
}

}  // namespace

Json parse_json(std::string_view text, const std::string& file) {
  Builder builder;
  bool good = false;
  try {
    good = Json::sax_parse(text.begin(), text.end(), &builder);
  } catch (const nlohmann::json::exception& error) {
    throw invalid_file(file + ": is not JSON: " + error.what());
  }
  if (!good) throw invalid_file(file + ": is not JSON: " + builder.problem());
  return builder.take();
}

Json read_json_object(const std::string& path, int64_t limit) {
  Json value = parse_json(read_whole(path, limit), path);
  if (!value.is_object()) throw invalid_file(path + ": holds " + show(value) + "; expected an object");
  return value;
}

std::optional<int64_t> as_integer(const Json& value) {
  if (!value.is_number_integer()) return std::nullopt;
  if (value.is_number_unsigned() && value.get<uint64_t>() > static_cast<uint64_t>(INT64_MAX)) return std::nullopt;
  return value.get<int64_t>();
}

std::string show(const Json& value) {
  if (value.is_string()) return quote(value.get_ref<const std::string&>());
  if (value.is_number_float()) return number_text(value.get<double>());
  std::string text = value.dump(-1, ' ', true, Json::error_handler_t::replace);
  if (text.size() > longest_value) text = text.substr(0, longest_value) + "...";
  return text;
}

Fields::Fields(const Json& object, std::string file, std::string prefix)
    : object_(&object), file_(std::move(file)), prefix_(std::move(prefix)) {}

bool Fields::present(const std::string& name) const { return object_->find(name) != object_->end(); }

bool Fields::has(const std::string& name) const { return value(name) != nullptr; }

const Json* Fields::value(const std::string& name) const {
  const auto found = object_->find(name);
  return found == object_->end() || found->is_null() ? nullptr : &*found;
}

std::optional<int64_t> Fields::integer(const std::string& name, int64_t least, int64_t most) const {
  const Json* field = value(name);
  if (field == nullptr) return std::nullopt;
  const auto number = as_integer(*field);
  if (!number || *number < least || *number > most) {
    refuse(name, "an integer from " + std::to_string(least) + " to " + std::to_string(most));
  }
  return number;
}

int64_t Fields::require_integer(const std::string& name, int64_t least, int64_t most) const {
  const auto number = integer(name, least, most);
  if (!number) refuse(name, "an integer from " + std::to_string(least) + " to " + std::to_string(most));
  return *number;
}

std::optional<double> Fields::number(const std::string& name, double least, double most) const {
  const Json* field = value(name);
  if (field == nullptr) return std::nullopt;
  const double number = field->is_number() ? field->get<double>() : 0.0;
  if (!field->is_number() || !std::isfinite(number) || number < least || number > most) {
    const bool bounded = least > std::numeric_limits<double>::lowest() || most < std::numeric_limits<double>::max();
    refuse(name, bounded ? "a number from " + number_text(least) + " to " + number_text(most) : "a finite number");
  }
  return number;
}

double Fields::require_number(const std::string& name, double least, double most) const {
  const auto found = number(name, least, most);
  if (!found) refuse(name, "a number");
  return *found;
}

std::optional<double> Fields::positive(const std::string& name, double most) const {
  const Json* field = value(name);
  if (field == nullptr) return std::nullopt;
  const double number = field->is_number() ? field->get<double>() : 0.0;
  if (!(number > 0) || number > most) refuse(name, "a number above 0 and at most " + number_text(most));
  return number;
}

double Fields::require_positive(const std::string& name, double most) const {
  const auto number = positive(name, most);
  if (!number) refuse(name, "a number above 0 and at most " + number_text(most));
  return *number;
}

std::optional<bool> Fields::boolean(const std::string& name) const {
  const Json* field = value(name);
  if (field == nullptr) return std::nullopt;
  if (!field->is_boolean()) refuse(name, "true or false");
  return field->get<bool>();
}

std::optional<std::string> Fields::string(const std::string& name) const {
  const Json* field = value(name);
  if (field == nullptr) return std::nullopt;
  if (!field->is_string()) refuse(name, "a string");
  return field->get<std::string>();
}

std::optional<Fields> Fields::object(const std::string& name) const {
  const Json* field = value(name);
  if (field == nullptr) return std::nullopt;
  if (!field->is_object()) refuse(name, "an object");
  return Fields(*field, file_, prefix_ + name + ".");
}

const Json* Fields::array(const std::string& name) const {
  const Json* field = value(name);
  if (field != nullptr && !field->is_array()) refuse(name, "an array");
  return field;
}

std::string Fields::describe(const std::string& name) const {
  const auto found = object_->find(name);
  const std::string place = file_ + ": " + prefix_ + name;
  return found == object_->end() ? place + " is missing" : place + " is " + show(*found);
}

void Fields::refuse(const std::string& name, const std::string& expected) const {
  throw invalid_file(describe(name) + "; expected " + expected);
}

void Fields::refuse_unsupported(const std::string& name, const std::string& why) const {
  throw unsupported(describe(name) + "; " + why);
}

}  // namespace moxie::checkpoint
