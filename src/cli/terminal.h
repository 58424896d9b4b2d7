// What may be written to a terminal beyond plain text.
#pragma once

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <string>

namespace moxie::cli {

// Whether colours are wanted on this stream: it is a terminal that has them, and NO_COLOR is unset or empty
// (https://no-color.org).
bool colours(std::FILE* stream);

bool is_terminal(std::FILE* stream);

// `text` in bold, or as it is.
std::string bold(const std::string& text, bool colours);

// A line on stderr that fills up; nothing where stderr is no terminal.
class Progress {
 public:
  Progress(std::string label, int64_t total);
  ~Progress();
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  void advance(int64_t count);

 private:
  void draw() const;

  std::string label_;
  int64_t total_;
  int64_t done_ = 0;
  bool shown_;
  std::chrono::steady_clock::time_point drawn_;
};

}  // namespace moxie::cli
