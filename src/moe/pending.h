// What is left of a tile while the next one is multiplied.
#pragma once

#include <algorithm>
#include <new>
#include <span>
#include <utility>

#include "moe/runs.h"

namespace moxie::moe {

// A tile is finished with memory that nobody has read for a while: adapters' factors, sums to add to. A product asks
// for it while it runs. With another adapter on every few rows it is too much for the second-level cache, and what that
// drops before it was used is gone. So a tile that needs much is finished run by run between the parts of the next
// tile's product, which asks for what a run needs shortly before its turn: memory and the multipliers work at the same
// time.
constexpr int64_t much = int64_t{256} << 10;  // bytes

// A tile's runs and what they need, as far as the runs are not finished.
class Pending {
 public:
  // For any tile of at most so many runs and needs.
  void reserve(Workspace& workspace, int64_t runs, int64_t needs) {
    entries_ = workspace.take<Entry>(runs);
    fetches_ = workspace.take<kernels::Fetch>(needs + 1);
  }

  // What a run needs in the order in which it is used, then the run.
  void add_need(const kernels::Fetch& need) {
    fetches_[fetch_count_++] = need;
    bytes_ += need.bytes;
  }
  void add_run(const RowRun& run) { entries_[count_++] = {&run, fetch_count_, bytes_}; }
  // After the runs: what the product after this one needs. Left out where it would push out what is in use.
  void add_later(const kernels::Fetch& need) {
    if (need.bytes > 0 && need.bytes <= much) fetches_[fetch_count_++] = need;
  }

  [[nodiscard]] int64_t size() const { return count_; }
  [[nodiscard]] bool needs_much() const { return bytes_ > much; }
  void clear() { next_ = count_ = fetch_count_ = bytes_ = 0; }

  // Calls product(meanwhile), during which and after which work(run) is called for all runs before `end` that are left.
  template <typename Work, typename Product>
  void finish_during(int64_t end, Work&& work, Product&& product) {
    using PlainWork = std::remove_reference_t<Work>;
    struct Share {
      Pending* pending;
      int64_t end, before, bytes;
      PlainWork* work;
      static void advance(void* self, int64_t done, int64_t of) {
        const auto& share = *static_cast<const Share*>(self);
        share.pending->finish(share.end, share.before + share.bytes * done / of, *share.work);
      }
    };
    const Entry before = next_ == 0 ? Entry{} : entries_[next_ - 1];
    const Entry last = end == 0 ? Entry{} : entries_[end - 1];
    const int64_t fetch_end = end == count_ ? fetch_count_ : last.fetch_end;
    Share share{this, end, before.bytes_end, last.bytes_end - before.bytes_end, &work};
    product(kernels::Meanwhile{fetches_ + before.fetch_end, fetch_end - before.fetch_end, &Share::advance, &share});
    finish(end, work);
  }
  template <typename Work>
  void finish(int64_t end, Work&& work) {
    while (next_ < end) work(*entries_[next_++].run);
  }

 private:
  struct Entry {
    const RowRun* run = nullptr;
    int64_t fetch_end = 0, bytes_end = 0;  // of the tile's fetches, this run's included
  };
  // Those whose needs are among the first `asked` bytes.
  template <typename Work>
  void finish(int64_t end, int64_t asked, Work&& work) {
    while (next_ < end && entries_[next_].bytes_end <= asked) work(*entries_[next_++].run);
  }

  Entry* entries_ = nullptr;
  kernels::Fetch* fetches_ = nullptr;
  int64_t next_ = 0, count_ = 0, fetch_count_ = 0, bytes_ = 0;
};

// What one worker knows of the last tile, which it may have left unfinished. Tile is a RowTile.
template <typename Tile>
struct LastTile {
  Tile tile;
  Pending pending;  // of `tile`
  Pending own;      // of the tile that is multiplied

  // Multiplies a tile and finishes the last one, and this one too unless it needs much; returns whether it is left.
  // needs(tile, run, visit) visits what a run needs, multiply(pending, work) is a product or several during which the
  // pending runs are finished, work(tile, run) finishes a run. later: what the product after this one needs.
  template <typename Needs, typename Multiply, typename Work>
  bool advance(const Tile& next, const Runs& runs, const kernels::Fetch& later, Needs&& needs, Multiply&& multiply,
               Work&& work) {
    own.clear();
    for (const RowRun& run : runs.rows(next.runs)) {
      needs(next, run, [this](const kernels::Fetch& need) { own.add_need(need); });
      own.add_run(run);
    }
    const bool leave = own.needs_much();
    if (leave || pending.size() != 0) {
      multiply(pending, [&](const RowRun& run) { work(tile, run); });
      pending.clear();
    } else {
      own.add_later(later);
      multiply(own, [](const RowRun&) {});
    }
    if (leave) {
      tile = next;
      std::swap(own, pending);
    } else {
      for (const RowRun& run : runs.rows(next.runs)) work(next, run);
    }
    return leave;
  }
  template <typename Work>
  void finish(Work&& work) {
    pending.finish(pending.size(), [&](const RowRun& run) { work(tile, run); });
    pending.clear();
  }
};

// One for each worker, with room for any of the tiles of rows. widest: of as many columns as any.
template <typename Tile, typename Needs>
LastTile<Tile>* last_tiles(const Context& context, const Runs& runs, std::span<const RowTile> tiles, Tile widest,
                           Needs&& needs) {
  int64_t most_runs = 0, most_needs = 0;
  for (const RowTile& tile : tiles) {
    static_cast<RowTile&>(widest) = tile;
    int64_t count = 0;
    for (const RowRun& run : runs.rows(tile.runs)) {
      needs(widest, run, [&count](const kernels::Fetch&) { ++count; });
    }
    most_runs = std::max(most_runs, tile.runs.size());
    most_needs = std::max(most_needs, count);
  }
  auto* last = context.workspace.take<LastTile<Tile>>(context.team.size());
  for (int i = 0; i < context.team.size(); ++i) {
    new (last + i) LastTile<Tile>;
    for (Pending* pending : {&last[i].pending, &last[i].own}) {
      pending->reserve(context.workspace, most_runs, most_needs);
    }
  }
  return last;
}

}  // namespace moxie::moe
