// Adapters with made-up factors over a dense feed-forward.
#pragma once

#include <string>
#include <vector>

#include "cli/handles.h"
#include "cli/synthetic.h"

namespace moxie::cli::bench {

struct AdapterShape {
  int32_t rank = 16;
  int32_t experts = 8;   // of the kinds that have some
  int32_t top_k = 2;     // MixLoRA, MoLA
  float top_p = 0.75F;   // dynamic
  int64_t capacity = 1;  // switch
  mox_dtype factors = MOX_F32;
};

struct AdapterKind {
  const char* name;
  mox_adapter_kind kind;
  bool rank_stabilised;
  bool dora;
};

const std::vector<AdapterKind>& adapter_kinds();
std::vector<std::string> adapter_kind_names();
const AdapterKind& adapter_kind_called(const std::string& name);

// `count` adapters on gate, up and down projection. They have the same values, and each holds its own copy.
std::vector<Adapter> make_adapters(const FeedForward& feed_forward, const FfnShape& base, const AdapterKind& kind,
                                   const AdapterShape& shape, size_t count);

// Bytes of one adapter's factors, about.
int64_t adapter_bytes(const FfnShape& base, const AdapterShape& shape);

}  // namespace moxie::cli::bench
