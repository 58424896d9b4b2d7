#include "xml.h"

#include <regex>
#include <set>
#include <stdexcept>
#include <vector>

namespace moxie::test {
namespace {

class Parser {
 public:
  explicit Parser(const std::string& text) : text_(text) {}

  void parse() {
    if (text_.rfind("<?xml ", 0) == 0) at_ = text_.find("?>") + 2;
    while (at_ < text_.size()) {
      const size_t tag = std::min(text_.find('<', at_), text_.size());
      check_characters(text_.substr(at_, tag - at_));
      if (tag == text_.size()) break;
      const size_t end = text_.find('>', tag);
      if (end == std::string::npos) throw std::runtime_error("a tag does not end");
      take(text_.substr(tag + 1, end - tag - 1));
      at_ = end + 1;
    }
    if (!open_.empty()) throw std::runtime_error("<" + open_.back() + "> is not closed");
    if (roots_ != 1) throw std::runtime_error(std::to_string(roots_) + " roots");
  }

 private:
  void check_characters(const std::string& characters) const {
    static const std::regex entities("&(amp|lt|gt|quot|apos);");
    const auto rest = std::regex_replace(characters, entities, "");
    if (rest.find('&') != std::string::npos) throw std::runtime_error("a bare & in '" + characters + "'");
    if (open_.empty() && rest.find_first_not_of(" \n") != std::string::npos)
      throw std::runtime_error("text outside the root");
  }

  void take(const std::string& tag) {
    static const std::regex name("/?([a-zA-Z][a-zA-Z0-9]*)");
    static const std::regex attribute(" +([a-zA-Z][a-zA-Z0-9:-]*)=\"([^\"<]*)\"");
    std::smatch match;
    if (!std::regex_search(tag, match, name, std::regex_constants::match_continuous)) {
      throw std::runtime_error("the tag <" + tag + ">");
    }
    if (tag.front() == '/') {
      if (open_.empty() || open_.back() != match[1] || match[0] != tag)
        throw std::runtime_error("the tag <" + tag + ">");
      open_.pop_back();
      return;
    }
    if (open_.empty()) ++roots_;
    open_.push_back(match[1]);
    std::set<std::string> seen;
    std::string rest = match.suffix();
    while (std::regex_search(rest, match, attribute, std::regex_constants::match_continuous)) {
      check_characters(match[2]);
      if (!seen.insert(match[1]).second) throw std::runtime_error("an attribute twice in <" + tag + ">");
      rest = match.suffix();
    }
    if (rest == "/") {
      open_.pop_back();
    } else if (!rest.empty()) {
      throw std::runtime_error("'" + rest + "' in the tag <" + tag + ">");
    }
  }

  const std::string& text_;
  size_t at_ = 0;
  size_t roots_ = 0;
  std::vector<std::string> open_;
};

}  // namespace

std::string xml_complaint(const std::string& text) {
  try {
    Parser(text).parse();
    return "";
  } catch (const std::runtime_error& error) {
    return error.what();
  }
}

}  // namespace moxie::test
