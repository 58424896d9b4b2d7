// A table of numbers in colours: on a terminal, and as SVG.
#pragma once

#include <string>
#include <vector>

namespace moxie::cli {

struct HeatMap {
  std::string title;
  std::string subtitle;
  std::string row_axis;     // what rows are: "layer"
  std::string column_axis;  // what columns are: "expert"
  std::string scale;        // what the colours show: "share of tokens, %"
  std::vector<std::string> row_labels;
  std::vector<std::string> column_labels;
  std::vector<std::vector<double>> values;  // percent, 0 or more
};

// Without colours: a plain table.
std::string terminal_text(const HeatMap& map, bool colours);

std::string svg_text(const HeatMap& map);

}  // namespace moxie::cli
