#include "cli/terminal.h"

#include <unistd.h>

#include <cstdlib>
#include <string_view>

namespace moxie::cli {
namespace {

constexpr int kBarWidth = 30;
constexpr std::chrono::milliseconds kBetweenDrawings{100};

std::string_view environment(const char* name) {
  const char* value = std::getenv(name);
  return value ? value : "";
}

}  // namespace

bool is_terminal(std::FILE* stream) { return isatty(fileno(stream)) == 1; }

bool colours(std::FILE* stream) {
  return is_terminal(stream) && environment("NO_COLOR").empty() && environment("TERM") != "dumb";
}

std::string bold(const std::string& text, bool coloured) { return coloured ? "\033[1m" + text + "\033[0m" : text; }

Progress::Progress(std::string label, int64_t total)
    : label_(std::move(label)), total_(total), shown_(is_terminal(stderr) && environment("TERM") != "dumb") {
  if (shown_) draw();
}

Progress::~Progress() {
  if (shown_) std::fputs("\r\033[K", stderr);
}

void Progress::advance(int64_t count) {
  done_ += count;
  const auto now = std::chrono::steady_clock::now();
  if (!shown_ || (done_ < total_ && now - drawn_ < kBetweenDrawings)) return;
  drawn_ = now;
  draw();
}

void Progress::draw() const {
  const int64_t filled = total_ > 0 ? done_ * kBarWidth / total_ : kBarWidth;
  std::string bar;
  for (int64_t i = 0; i < kBarWidth; ++i) bar += i < filled ? '#' : '.';
  std::fprintf(stderr, "\r\033[K%s [%s] %lld of %lld", label_.c_str(), bar.c_str(), static_cast<long long>(done_),
               static_cast<long long>(total_));
  std::fflush(stderr);
}

}  // namespace moxie::cli
