// Plain tables: columns as wide as their widest cell.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace moxie::cli {

class Table {
 public:
  // Columns from `numbers_from` on are aligned to the right.
  explicit Table(std::vector<std::string> heading, size_t numbers_from = SIZE_MAX);

  void add(std::vector<std::string> row);

  // One line for each row, each with a line break.
  std::string text() const;

 private:
  std::vector<std::vector<std::string>> rows_;
  size_t numbers_from_;
};

// printf's %.*f and %.*e as strings.
std::string fixed(double value, int digits);
std::string scientific(double value, int digits);

// 6331392 -> "6.33 MB"
std::string bytes_text(double bytes);

// Cells a terminal needs for UTF-8 text, counting code points.
size_t width(const std::string& text);

}  // namespace moxie::cli
