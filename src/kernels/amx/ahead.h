// Memory that is asked for while the tiles multiply.
#pragma once

#include <cstdint>

#include "kernels/kernels.h"

namespace moxie::kernels::amx {

constexpr int64_t line = 64;

inline void ask(const char* at) { __builtin_prefetch(at, 0, 2); }

// One stretch of memory, or two of the same length.
struct Area {
  const void* first;   // NULL: nothing is known
  const void* second;  // or NULL
  int64_t bytes;       // of each
};

// Deals an area's lines evenly to steps. They come from several places in turn: memory delivers more to eight streams
// than to one.
class Ahead {
 public:
  Ahead(const Area& area, int64_t steps) : steps_(steps) {
    if (area.first == nullptr) return;
    const int64_t of_each = area.second != nullptr ? streams / 2 : streams;
    const int64_t part = area.bytes / of_each / line * line;
    for (int64_t i = 0; i < of_each; ++i) {
      at_[i] = static_cast<const char*>(area.first) + i * part;
      if (area.second != nullptr) at_[of_each + i] = static_cast<const char*>(area.second) + i * part;
    }
    lines_ = part / line;
  }

  void step() {
    for (due_ += lines_; due_ >= steps_; due_ -= steps_) {
#pragma GCC unroll 8
      for (const char*& at : at_) {
        ask(at);
        at += line;
      }
    }
  }

 private:
  static constexpr int streams = 8;
  const char* at_[streams] = {};
  int64_t lines_ = 0;  // of each stream
  int64_t steps_;
  int64_t due_ = 0;  // in parts of a line
};

// Deals out a product's fetches, in their order, evenly to its steps.
class DealtFetches {
 public:
  DealtFetches(const Meanwhile& meanwhile, int64_t steps)
      : piece_(meanwhile.fetches), end_(piece_ + meanwhile.fetch_count), steps_(steps) {
    if (steps == 0) end_ = piece_;
    for (const Fetch* piece = piece_; piece != end_; ++piece) lines_ += lines_of(*piece);
  }

  void step() {
    if (piece_ == end_) return;
    for (due_ += lines_; due_ >= steps_ && piece_ != end_; due_ -= steps_) {
      ask(reinterpret_cast<const char*>(piece_->at) + asked_ * line);
      if (++asked_ < lines_of(*piece_)) continue;
      ++piece_;
      asked_ = 0;
    }
  }

 private:
  static int64_t lines_of(const Fetch& piece) { return (piece.bytes + line - 1) / line; }
  const Fetch* piece_;
  const Fetch* end_;
  int64_t lines_ = 0, steps_;
  int64_t due_ = 0;    // in parts of a line
  int64_t asked_ = 0;  // lines of piece_
};

}  // namespace moxie::kernels::amx
