// Stage 3: y = sum over experts of W2 h + B2 z2, for a block of hidden columns, tile of h rows after tile of h rows.
#include <algorithm>
#include <array>

#include "moe/stages.h"

namespace moxie::moe {
namespace {

// Where some columns of y's rows are made: there, or apart until they are whole.
struct Sums {
  float* first = nullptr;  // [rows of the call][stride]
  int64_t stride = 0;
  [[nodiscard]] float* row(int64_t index) const { return first + index * stride; }
};

// Rows are h rows.
struct Tile : RowTile {
  Span panels{0, 0};
  float* product = nullptr;  // [rows][width()]
  Sums sums;
  [[nodiscard]] int64_t width() const { return panels.size() * kernels::panel_width; }
};

// The columns of y that a tile is about.
Span columns_of(const Stages& s, Span panels) {
  return {panels.begin * kernels::panel_width, std::min(panels.end * kernels::panel_width, s.base.hidden)};
}

// product: the first row of the run.
void adapt(const Stages& s, const Runs& runs, const Tile& tile, const RowRun& run, float* product) {
  const RangeWork& range = s.ranges[static_cast<size_t>(run.range)];
  if (range.down == nullptr) return;
  const LoraInput& input = range.down_input;
  for (const SetRows& set : runs.sets(run.down)) {
    if (run.set >= 0) {
      add_lora(s.context, input, set.set, set.z_rows, tile.panels, LoraRows::in_place(product, tile.width()));
    } else {
      add_lora(s.context, input, set, run.first_row, tile.panels, product, tile.width());
    }
  }
}

void add_bias(const Stages& s, const Tile& tile, Span rows, float* product) {
  const Linear& down = s.base.experts[static_cast<size_t>(tile.expert)].down;
  if (down.bias.empty()) return;
  const Span columns = columns_of(s, tile.panels);
  const float* bias = down.bias.data() + columns.begin;
  for (int64_t q = rows.begin; q < rows.end; ++q) {
    float* row = product + (q - rows.begin) * tile.width();
    const float weight = s.hidden.bias_weight[q];
    for (int64_t c = 0; c < columns.size(); ++c) row[c] += weight * bias[c];
  }
}

// A row over a switch router's capacity keeps its input, weighted. sums: of that row.
void add_overflow(const Stages& s, const RangeWork& range, int64_t row, Span columns, float* sums) {
  if (range.pairs.overflow_weight == nullptr) return;
  const float weight = range.pairs.overflow_weight[row - range.begin];
  if (weight == 0.0F) return;
  const float* x = s.call.x + row * s.call.ldx + columns.begin;
  for (int64_t c = 0; c < columns.size(); ++c) sums[c] += weight * x[c];
}

// Sums of so many bytes stay in the second-level cache while the weights of several experts pass through it.
constexpr int64_t staying_sums = int64_t{128} << 10;

// Calls visit for what a run needs for a tile's columns, in the order of use: factors, and sums that are added to.
template <typename Visit>
void for_each_need(const Stages& s, const Runs& runs, const Tile& tile, const RowRun& run, Visit&& visit) {
  const RangeWork& range = s.ranges[static_cast<size_t>(run.range)];
  for (const SetRows& set : runs.sets(run.down)) {
    if (range.down == nullptr || range.down_input.has_deltas(set.set)) continue;
    visit(range.down->b.fetch(set.set, tile.panels.begin, tile.panels.end));
  }
  const Span columns = columns_of(s, tile.panels);
  const auto bytes = columns.size() * static_cast<int64_t>(sizeof(float));
  if (s.hidden.identity || s.call.rows * bytes <= staying_sums) return;
  for (int64_t q = run.rows.begin; q < run.rows.end; ++q) {
    visit(kernels::Fetch{tile.sums.row(s.hidden.row[q]), bytes});
  }
}

// Before the first tile adds to them. A row over capacity has no h rows there to add.
void begin_sums(const Stages& s, Span columns, const Sums& sums) {
  for (int64_t row = 0; row < s.call.rows; ++row) std::fill_n(sums.row(row), columns.size(), 0.0F);
  for (const RangeWork& range : s.ranges) {
    for (int64_t row = range.begin; row < range.begin + range.rows; ++row) {
      add_overflow(s, range, row, columns, sums.row(row));
    }
  }
}

void write_sums(const Stages& s, Span columns, const Sums& sums) {
  for (int64_t row = 0; row < s.call.rows; ++row) {
    std::copy_n(sums.row(row), columns.size(), s.call.y + row * s.call.ldy + columns.begin);
  }
}

void run_rows(const Stages& s, const Runs& runs, const Tile& tile, const RowRun& run) {
  float* product = tile.product + (run.rows.begin - tile.rows.begin) * tile.width();
  adapt(s, runs, tile, run, product);
  add_bias(s, tile, run.rows, product);
  const Span columns = columns_of(s, tile.panels);
  for (int64_t q = run.rows.begin; q < run.rows.end; ++q, product += tile.width()) {
    const int64_t row = s.hidden.row[q];
    float* sums = tile.sums.row(row);
    if (s.hidden.identity) {
      std::copy_n(product, columns.size(), sums);
      add_overflow(s, s.ranges[static_cast<size_t>(run.range)], row, columns, sums);
    } else {
      s.context.small().add(sums, product, columns.size(), sums);
    }
  }
}

// Of a task that makes whole sums of y: more columns read h less often and weights in longer stretches, fewer stay in
// the second-level cache until they are added.
constexpr int64_t bytes_of_sums = int64_t{512} << 10;
constexpr int64_t panels_of_sums(int64_t rows) {
  constexpr int64_t bytes_of_panel_row = kernels::panel_width * sizeof(float);
  return std::clamp(bytes_of_sums / (rows * bytes_of_panel_row), 2 * panel_tile, panels_of_few_rows);
}

// Columns of y, and the tiles that make them, one after another.
struct Task {
  Span panels{0, 0};
  Span tiles{0, 0};
};

// Where rows of y are sums over experts, one task makes all of a sum, so that it is always added up in the same order.
// Tasks become smaller towards the end, or the last would be waited for.
std::pmr::vector<Task> make_tasks(const Stages& s, std::span<const RowTile> tiles, bool few) {
  auto tasks = s.context.workspace.list<Task>();
  const auto count = static_cast<int64_t>(tiles.size());
  const int64_t panels = s.base.experts.front().down.weight.panels();
  if (s.hidden.identity) {
    for (int64_t block = 0; block < divide_up(panels, panel_tile); ++block) {
      for (int64_t i = 0; i < count; ++i) tasks.push_back({part(block, panel_tile, panels), {i, i + 1}});
    }
    return tasks;
  }
  const int64_t threads = s.context.team.size();
  // With few rows tasks cost alike, so they may be long until the end. Panels side by side take less time than one
  // after another: four where few rows read them, two where many are multiplied.
  const int64_t most = few ? panels_of_few_rows : panels_of_sums(s.call.rows);
  const int64_t least = std::clamp<int64_t>(panels / (4 * threads), 1, few ? 4 : 2);
  const int64_t parts = few ? threads : 2 * threads;
  for (int64_t begin = 0; begin < panels;) {
    const int64_t share = std::clamp((panels - begin) / parts, least, most);
    tasks.push_back({{begin, std::min(begin + share, panels)}, {0, count}});
    begin = tasks.back().panels.end;
  }
  return tasks;
}

}  // namespace

void run_down(const Stages& s) {
  Workspace& workspace = s.context.workspace;
  Runs runs(workspace, s.ranges);
  const RowList rows_of_h{static_cast<int64_t>(s.base.experts.size()), s.hidden.begin_of, s.hidden.row, s.hidden.range,
                          s.hidden.set};
  const auto tiles = row_tiles(workspace, &runs, rows_of_h);
  const int64_t most_rows = rows_of_largest(tiles);
  const bool few = most_rows <= few_rows;
  const auto tasks = make_tasks(s, tiles, few);
  const auto needs = [&](const Tile& tile, const RowRun& run, auto&& visit) {
    for_each_need(s, runs, tile, run, visit);
  };
  const auto finish = [&](const Tile& tile, const RowRun& run) { run_rows(s, runs, tile, run); };
  const Span widest = tasks.empty() ? Span{0, 0} : tasks.front().panels;
  // Sums that are often added to are kept apart: rows of y may stand a power of two apart and each on a page of its
  // own, and would push each other out of every cache.
  const bool apart = !s.hidden.identity && !few;
  const int64_t stride = row_stride(widest.size() * kernels::panel_width, sizeof(float));
  auto* sums_apart = workspace.take<float>(apart ? s.context.team.size() * s.call.rows * stride : 0);
  const auto sums_of = [&](Span panels, int worker) {
    if (apart) return Sums{sums_apart + worker * s.call.rows * stride, stride};
    return Sums{s.call.y + panels.begin * kernels::panel_width, s.call.ldy};
  };
  auto* last = last_tiles(s.context, runs, tiles, Tile{{}, widest, nullptr, sums_of(widest, 0)}, needs);
  // Of the tile that is multiplied, and of the last one where that is unfinished.
  auto* products = workspace.take<std::array<float*, 2>>(s.context.team.size());
  for (int i = 0; i < s.context.team.size(); ++i) {
    for (float*& product : products[i]) {
      product = workspace.take<float>(most_rows * widest.size() * kernels::panel_width);
    }
  }
  const auto weight = [&](int64_t tile) -> const kernels::PackedMatrix& {
    return s.base.experts[static_cast<size_t>(tiles[static_cast<size_t>(tile)].expert)].down.weight;
  };
  const auto count = static_cast<int64_t>(tasks.size());
  s.context.team.run(count, [&](int64_t index, int worker) {
    const Task& task = tasks[static_cast<size_t>(index)];
    const Span columns = columns_of(s, task.panels);
    const Sums sums = sums_of(task.panels, worker);
    if (!s.hidden.identity) begin_sums(s, columns, sums);
    // Tasks are taken in turns, more or less.
    const Task& next_task = tasks[static_cast<size_t>(std::min(index + s.context.team.size(), count - 1))];
    for (int64_t i = task.tiles.begin; i < task.tiles.end; ++i) {
      const Tile tile{tiles[static_cast<size_t>(i)], task.panels, products[worker][0], sums};
      const bool more = i + 1 < task.tiles.end;
      const int64_t later = more ? i + 1 : next_task.tiles.begin;
      const void* after = weight(later).panel((more ? task : next_task).panels.begin);
      const auto product = [&](Pending& pending, auto&& work) {
        pending.finish_during(pending.size(), work, [&](const kernels::Meanwhile& meanwhile) {
          multiply(s.context, s.h, weight(i), tile.rows, tile.panels, {tile.product, tile.width(), after}, meanwhile);
        });
      };
      const kernels::Fetch rows =
          later == i ? kernels::Fetch{} : s.h.fetch(tiles[static_cast<size_t>(later)].rows, s.base.weights());
      if (last[worker].advance(tile, runs, rows, needs, product, finish)) {
        std::swap(products[worker][0], products[worker][1]);
      }
    }
    if (apart) {
      last[worker].finish(finish);
      write_sums(s, columns, sums);
    }
  });
  s.context.team.run(s.context.team.size(), [&](int64_t worker, int) { last[worker].finish(finish); });
}

}  // namespace moxie::moe
