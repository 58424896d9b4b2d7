#include "cache/fingerprint.h"

#include <xxhash.h>

#include <algorithm>
#include <array>
#include <cstdio>

#include "kernels/packed_matrix.h"
#include "runtime/parallel.h"

namespace moxie::cache {
namespace {

constexpr int64_t sample_bytes = 4096;
constexpr int64_t most_samples = 4096;

std::string list(std::initializer_list<int64_t> numbers) {
  std::string text;
  for (const int64_t number : numbers) text += " " + std::to_string(number);
  return text + "\n";
}

uint64_t sample(const checkpoint::TensorSource& source, const PackedSection& section) {
  const int64_t index = source.find(section.name);
  if (index < 0) return 0;
  const checkpoint::TensorEntry& entry = source.entries()[static_cast<size_t>(index)];
  const auto size = static_cast<int64_t>(element_size(entry.dtype));
  const int64_t all = entry.elements();
  const int64_t count = std::min(all, sample_bytes / size);
  const uint64_t place = XXH3_64bits(section.name.data(), section.name.size());
  const auto first = static_cast<int64_t>(place % static_cast<uint64_t>(all - count + 1));
  std::array<std::byte, sample_bytes> bytes;
  source.read(static_cast<size_t>(index), first, count, bytes.data());
  return XXH3_64bits(bytes.data(), static_cast<size_t>(count * size));
}

}  // namespace

std::string fingerprint_of(const checkpoint::TensorSource& source, const std::vector<PackedSection>& sections,
                           int threads) {
  std::string text = "format" + list({packed_format_version, kernels::packed_layout_version});
  for (const PackedSection& section : sections) {
    const int64_t index = source.find(section.name);
    const int64_t stored = index < 0 ? -1 : source.entries()[static_cast<size_t>(index)].dtype;
    text += section.name + "\n" + list({section.dtype, section.n, section.k, stored});
  }
  bool data_hashed = true;
  for (const checkpoint::SourceFile& file : source.files()) {
    text += file.name + "\n" + list({file.size, file.modified_ns, static_cast<int64_t>(file.header_hash)});
    data_hashed = data_hashed && file.data_hashed;
  }
  if (!data_hashed) {
    const auto count = static_cast<int64_t>(sections.size());
    const int64_t wanted = std::min(count, most_samples);
    std::vector<uint64_t> samples(static_cast<size_t>(wanted));
    parallel_for(threads, wanted, [&](int64_t i) {
      samples[static_cast<size_t>(i)] = sample(source, sections[static_cast<size_t>(i * count / wanted)]);
    });
    text.append(reinterpret_cast<const char*>(samples.data()), samples.size() * sizeof(uint64_t));
  }
  const XXH128_hash_t hash = XXH3_128bits(text.data(), text.size());
  std::array<char, 33> digits{};
  std::snprintf(digits.data(), digits.size(), "%016llx%016llx", static_cast<unsigned long long>(hash.high64),
                static_cast<unsigned long long>(hash.low64));
  return digits.data();
}

}  // namespace moxie::cache
