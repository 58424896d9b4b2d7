// What stands behind the opaque handles. Every handle shares ownership of what it needs, so handles may be freed in any
// order and never wait for each other.
#pragma once

#include <atomic>
#include <memory>

#include "adapter/adapter.h"
#include "api/call.h"
#include "api/call_memory.h"
#include "engine/engine.h"
#include "model/decoder.h"
#include "model/layer.h"
#include "moe/routing_plan.h"
#include "moxie/moxie.h"
#include "transformer/sequence.h"

struct mox_runtime {
  std::shared_ptr<moxie::Engine> engine;
};

struct mox_feed_forward {
  std::shared_ptr<moxie::Engine> engine;
  std::shared_ptr<const moxie::model::LayerFeedForward> layer;
};

struct mox_block {
  std::shared_ptr<moxie::Engine> engine;
  std::shared_ptr<const moxie::model::LayerBlock> layer;
};

struct mox_model {
  std::shared_ptr<moxie::Engine> engine;
  std::shared_ptr<const moxie::model::Decoder> decoder;
};

struct mox_adapter {
  std::atomic<int64_t> holders{1};
  std::shared_ptr<const moxie::adapter::Adapter> adapter;
  std::shared_ptr<const void> base;  // the decoder, block or feed-forward it lies over
};

struct mox_sequence {
  std::shared_ptr<const void> owner;  // the decoder or block it was made for
  std::unique_ptr<moxie::transformer::Sequence> sequence;
};

struct mox_routing {
  moxie::moe::RoutingPlan plan;
};

namespace moxie::api {

constexpr int32_t most_experts = 4096;  // that any argument may ask for

// Error where there is none of that number.
mox_storage checked_storage(mox_storage storage);

// options NULL: the defaults. Error where a field is out of range.
model::LoadSettings read_load_options(const mox_load_options* options, const std::shared_ptr<Engine>& engine);

// Adapters of a call, kept alive until it is over, whatever happens to their handles.
class HeldAdapters {
 public:
  explicit HeldAdapters(CallMemory& memory) : held_(memory.resource()) {}
  // NULL for a NULL handle. Error where the adapter lies over another base; `where` names the argument.
  const adapter::Adapter* hold(const mox_adapter* handle, const void* base, const ArgumentName& where);

 private:
  std::pmr::vector<std::shared_ptr<const adapter::Adapter>> held_;
};

// Sequences of a call, marked as busy until it is over.
class HeldSequences {
 public:
  explicit HeldSequences(CallMemory& memory) : held_(memory.resource()) {}
  ~HeldSequences();
  HeldSequences(const HeldSequences&) = delete;
  HeldSequences& operator=(const HeldSequences&) = delete;

  transformer::Sequence* hold(const mox_sequence* handle, const ArgumentName& where);
  // The same, and Error where it was made for another model or block.
  transformer::Sequence* hold(const mox_sequence* handle, const void* owner, const ArgumentName& where);

 private:
  std::pmr::vector<transformer::Sequence*> held_;
};

}  // namespace moxie::api
