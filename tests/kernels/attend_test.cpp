#include "support.h"

namespace moxie::kernels::test {
namespace {

class AttendTest : public testing::TestWithParam<const Kernels*> {};

// Keys and values of `positions` positions, laid out in blocks.
struct Cache {
  int64_t head_dim, block_rows, stride;
  std::vector<std::vector<float>> keys, values;
  std::vector<const float*> key_blocks, value_blocks;

  Cache(const std::vector<std::vector<float>>& k, const std::vector<std::vector<float>>& v, int64_t block_rows_,
        int64_t gap)
      : head_dim(static_cast<int64_t>(k[0].size())), block_rows(block_rows_), stride(head_dim + gap) {
    const auto fill = [&](const std::vector<std::vector<float>>& rows, std::vector<std::vector<float>>& blocks) {
      for (size_t p = 0; p < rows.size(); ++p) {
        if (p % static_cast<size_t>(block_rows) == 0) {
          blocks.emplace_back(static_cast<size_t>((block_rows - 1) * stride + head_dim), not_a_number);
        }
        std::copy(rows[p].begin(), rows[p].end(),
                  blocks.back().begin() + static_cast<int64_t>(p) % block_rows * stride);
      }
    };
    fill(k, keys);
    fill(v, values);
    for (const auto& block : keys) key_blocks.push_back(block.data());
    for (const auto& block : values) value_blocks.push_back(block.data());
  }

  [[nodiscard]] std::vector<float> attend(const Kernels& kernels, const std::vector<float>& query, int64_t begin,
                                          int64_t end) const {
    std::vector<float> scores(static_cast<size_t>((end - begin + 63) / 64 * 64)), output(query.size() + 1, -3.0F);
    Attend a;
    a.query = query.data();
    a.head_dim = head_dim;
    a.scale = static_cast<float>(1 / std::sqrt(static_cast<double>(head_dim)));
    a.key_blocks = key_blocks.data();
    a.value_blocks = value_blocks.data();
    a.block_rows = block_rows;
    a.stride = stride;
    a.begin = begin;
    a.end = end;
    a.scores = scores.data();
    a.output = output.data();
    kernels.attend(a);
    EXPECT_EQ(output.back(), -3.0F) << "written behind the end";
    output.pop_back();
    return output;
  }
};

std::vector<std::vector<float>> random_rows(std::mt19937& generator, int64_t rows, int64_t width) {
  std::vector<std::vector<float>> result;
  for (int64_t r = 0; r < rows; ++r) result.push_back(random_floats(generator, width));
  return result;
}

TEST_P(AttendTest, AgreesWithDoublePrecisionWhateverTheBlocks) {
  std::mt19937 generator(31);
  for (const int64_t head_dim : {1, 5, 16, 33, 64, 80, 128, 130}) {
    const int64_t positions = random_between(generator, 1, 300);
    const auto keys = random_rows(generator, positions, head_dim), values = random_rows(generator, positions, head_dim);
    const std::vector<float> query = random_floats(generator, head_dim, 4);
    const int64_t begin = random_between(generator, 0, positions - 1);
    const int64_t end = random_between(generator, begin + 1, positions);
    SCOPED_TRACE(testing::Message() << "head_dim " << head_dim << ", positions " << begin << " .. " << end);

    std::vector<double> weight;
    double sum = 0;
    for (int64_t p = begin; p < end; ++p) {
      double dot = 0;
      for (size_t i = 0; i < query.size(); ++i) dot += double{query[i]} * keys[static_cast<size_t>(p)][i];
      weight.push_back(std::exp(dot / std::sqrt(static_cast<double>(head_dim))));
      sum += weight.back();
    }
    const std::vector<float> found = Cache(keys, values, 16, 3).attend(*GetParam(), query, begin, end);
    for (size_t i = 0; i < query.size(); ++i) {
      double want = 0;
      for (int64_t p = begin; p < end; ++p) {
        want += weight[static_cast<size_t>(p - begin)] / sum * values[static_cast<size_t>(p)][i];
      }
      EXPECT_NEAR(found[i], want, 40 * epsilon);
    }
    // Where the cache's blocks end is the cache's affair.
    EXPECT_EQ(Cache(keys, values, 1, 0).attend(*GetParam(), query, begin, end), found);
    EXPECT_EQ(Cache(keys, values, 1000, 7).attend(*GetParam(), query, begin, end), found);
  }
}

INSTANTIATE_TEST_SUITE_P(Kernels, AttendTest, testing::ValuesIn(usable_entries()), name_of_entry);

}  // namespace
}  // namespace moxie::kernels::test
