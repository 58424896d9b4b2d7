#include "cli/heat_map.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "cli/table.h"
#include "cli/terminal.h"

namespace moxie::cli {
namespace {

struct Colour {
  double red, green, blue;  // 0 .. 255
};

// One hue from light to dark, so that the order can be read without a legend and in grey.
constexpr std::array<Colour, 4> kScale{{{247, 251, 255}, {158, 202, 225}, {49, 130, 189}, {8, 48, 107}}};

// part: 0 .. 1 of the scale
Colour colour_of(double part) {
  const double at = std::clamp(part, 0.0, 1.0) * (kScale.size() - 1);
  const auto low = std::min(static_cast<size_t>(at), kScale.size() - 2);
  const double t = at - static_cast<double>(low);
  const auto mix = [t](double a, double b) { return a + (b - a) * t; };
  return {mix(kScale[low].red, kScale[low + 1].red), mix(kScale[low].green, kScale[low + 1].green),
          mix(kScale[low].blue, kScale[low + 1].blue)};
}

bool is_dark(const Colour& colour) {
  return 0.2126 * colour.red + 0.7152 * colour.green + 0.0722 * colour.blue < 140;  // Rec. 709 luma
}

// The end of the scale: the largest value, up to the next multiple of 5.
double scale_end(const HeatMap& map) {
  double largest = 0;
  for (const auto& row : map.values) {
    for (double value : row) largest = std::max(largest, value);
  }
  return std::max(5.0, std::ceil(largest / 5 - 1e-9) * 5);
}

// The nearest of the 6 x 6 x 6 colours that every colour terminal has.
int terminal_colour(const Colour& colour) {
  const auto step = [](double value) { return static_cast<int>(std::lround(value / 51)); };
  return 16 + 36 * step(colour.red) + 6 * step(colour.green) + step(colour.blue);
}

std::string escape(const std::string& text) {
  std::string escaped;
  for (char c : text) {
    switch (c) {
      case '&':
        escaped += "&amp;";
        break;
      case '<':
        escaped += "&lt;";
        break;
      case '>':
        escaped += "&gt;";
        break;
      case '"':
        escaped += "&quot;";
        break;
      default:
        // XML has no way to write control characters.
        escaped += static_cast<unsigned char>(c) < 0x20 ? ' ' : c;
    }
  }
  return escaped;
}

std::string hex(const Colour& colour) {
  std::array<char, 8> buffer{};
  std::snprintf(buffer.data(), buffer.size(), "#%02x%02x%02x", static_cast<unsigned>(std::lround(colour.red)),
                static_cast<unsigned>(std::lround(colour.green)), static_cast<unsigned>(std::lround(colour.blue)));
  return buffer.data();
}

class Svg {
 public:
  explicit Svg(const HeatMap& map) : map_(map), end_(scale_end(map)) {
    size_t widest = 0;
    for (const auto& label : map.row_labels) widest = std::max(widest, cli::width(label));
    left_ = 50 + 7 * static_cast<double>(widest);
    grid_width_ = kCellWidth * static_cast<double>(map.column_labels.size());
    grid_height_ = kCellHeight * static_cast<double>(map.row_labels.size());
  }

  std::string text() {
    const double titles = 8.5 * static_cast<double>(std::max(cli::width(map_.title), cli::width(map_.subtitle))) + 40;
    const double whole_width = std::max(left_ + grid_width_ + 130, titles);
    const double whole_height = kTop + std::max(grid_height_, kLegendHeight) + 60;
    out_ = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"" +
           number(whole_width) + "\" height=\"" + number(whole_height) + "\" viewBox=\"0 0 " + number(whole_width) +
           " " + number(whole_height) + "\" font-family=\"sans-serif\" font-size=\"12\" role=\"img\">\n<title>" +
           escape(map_.title) + "</title>\n";
    rectangle(0, 0, whole_width, whole_height, "#ffffff");
    label(20, 28, map_.title, "start", "font-size=\"16\" font-weight=\"bold\"");
    label(20, 48, map_.subtitle, "start", "fill=\"#555555\"");
    axes();
    cells();
    legend();
    return out_ + "</svg>\n";
  }

 private:
  static constexpr double kCellWidth = 52, kCellHeight = 26, kTop = 96, kLegendHeight = 160;

  static std::string number(double value) { return fixed(value, 1); }

  void rectangle(double x, double y, double w, double h, const std::string& fill) {
    out_ += "<rect x=\"" + number(x) + "\" y=\"" + number(y) + "\" width=\"" + number(w) + "\" height=\"" + number(h) +
            "\" fill=\"" + fill + "\"/>\n";
  }

  void label(double x, double y, const std::string& text, const std::string& anchor, const std::string& more = "") {
    out_ += "<text x=\"" + number(x) + "\" y=\"" + number(y) + "\" text-anchor=\"" + anchor + "\"" +
            (more.empty() ? "" : " " + more) + ">" + escape(text) + "</text>\n";
  }

  void axes() {
    label(left_ + grid_width_ / 2, kTop - 26, map_.column_axis, "middle", "font-weight=\"bold\"");
    for (size_t i = 0; i < map_.column_labels.size(); ++i) {
      label(left_ + kCellWidth * (static_cast<double>(i) + 0.5), kTop - 8, map_.column_labels[i], "middle");
    }
    const double middle = kTop + grid_height_ / 2;
    label(24, middle, map_.row_axis, "middle",
          "font-weight=\"bold\" transform=\"rotate(-90 24 " + number(middle) + ")\"");
    for (size_t i = 0; i < map_.row_labels.size(); ++i) {
      label(left_ - 8, kTop + kCellHeight * (static_cast<double>(i) + 0.5) + 4, map_.row_labels[i], "end");
    }
  }

  void cells() {
    for (size_t row = 0; row < map_.values.size(); ++row) {
      for (size_t column = 0; column < map_.values[row].size(); ++column) {
        const double x = left_ + kCellWidth * static_cast<double>(column);
        const double y = kTop + kCellHeight * static_cast<double>(row);
        const double value = map_.values[row][column];
        const auto colour = colour_of(value / end_);
        rectangle(x + 0.5, y + 0.5, kCellWidth - 1, kCellHeight - 1, hex(colour));
        label(x + kCellWidth / 2, y + kCellHeight / 2 + 4, fixed(value, 1), "middle",
              is_dark(colour) ? "fill=\"#ffffff\"" : "fill=\"#111111\"");
      }
    }
  }

  void legend() {
    constexpr int kSteps = 40;
    const double x = left_ + grid_width_ + 30;
    for (int i = 0; i < kSteps; ++i) {
      const double height = kLegendHeight / kSteps;
      rectangle(x, kTop + kLegendHeight - height * (i + 1), 16, height + 0.3, hex(colour_of((i + 0.5) / kSteps)));
    }
    for (int tick = 0; tick <= 4; ++tick) {
      label(x + 22, kTop + kLegendHeight * (1 - tick / 4.0) + 4, fixed(end_ * tick / 4, 1), "start");
    }
    const double middle = kTop + kLegendHeight / 2;
    label(x + 70, middle, map_.scale, "middle",
          "transform=\"rotate(-90 " + number(x + 70) + " " + number(middle) + ")\"");
  }

  const HeatMap& map_;
  double end_;
  double left_ = 0, grid_width_ = 0, grid_height_ = 0;
  std::string out_;
};

std::string coloured_cell(double value, double end) {
  const auto colour = colour_of(value / end);
  std::string text = fixed(value, 1);
  text = std::string(text.size() < 6 ? 6 - text.size() : 0, ' ') + text + " ";
  return "\033[48;5;" + std::to_string(terminal_colour(colour)) + ";38;5;" + (is_dark(colour) ? "231" : "16") + "m" +
         text + "\033[0m";
}

}  // namespace

std::string terminal_text(const HeatMap& map, bool colours) {
  std::string text = bold(map.title, colours) + "\n" + map.subtitle + "; " + map.scale + "\n";
  if (!colours) {
    std::vector<std::string> heading{map.row_axis + " \\ " + map.column_axis};
    heading.insert(heading.end(), map.column_labels.begin(), map.column_labels.end());
    Table table(heading, 1);
    for (size_t row = 0; row < map.values.size(); ++row) {
      std::vector<std::string> cells{map.row_labels[row]};
      for (double value : map.values[row]) cells.push_back(fixed(value, 1));
      table.add(std::move(cells));
    }
    return text + table.text();
  }
  const std::string corner = map.row_axis + " \\ " + map.column_axis;
  size_t widest = width(corner);
  for (const auto& label : map.row_labels) widest = std::max(widest, width(label));
  const auto padded = [widest](const std::string& label) {
    return label + std::string(widest - width(label) + 2, ' ');
  };
  text += padded(corner);
  for (const auto& label : map.column_labels) {
    text += std::string(label.size() < 6 ? 6 - label.size() : 0, ' ') + label + " ";
  }
  text += "\n";
  const double end = scale_end(map);
  for (size_t row = 0; row < map.values.size(); ++row) {
    text += padded(map.row_labels[row]);
    for (double value : map.values[row]) text += coloured_cell(value, end);
    text += "\n";
  }
  return text;
}

std::string svg_text(const HeatMap& map) { return Svg(map).text(); }

}  // namespace moxie::cli
