#include "moxie/adapter.h"

#include <atomic>

#include "adapter/open_adapter.h"
#include "api/call.h"
#include "api/handles.h"

using moxie::api::guard;

namespace {

using moxie::api::require_not_null;

moxie::adapter::NormMaker norm_maker(const moxie::Engine& engine) { return {engine.kernels().small, engine.threads()}; }

mox_adapter* make_handle(moxie::adapter::Adapter adapter, std::shared_ptr<const void> base) {
  static std::atomic<uint64_t> next_id{1};
  adapter.id = next_id.fetch_add(1);
  auto handle = std::make_unique<mox_adapter>();
  handle->adapter = std::make_shared<const moxie::adapter::Adapter>(std::move(adapter));
  handle->base = std::move(base);
  return handle.release();
}

}  // namespace

mox_status mox_adapter_open(const mox_model* model, const char* folder, mox_adapter** adapter, mox_error* error) {
  return guard(error, [&] {
    require_not_null(model, "model");
    require_not_null(folder, "folder");
    require_not_null(adapter, "adapter");
    const moxie::NearPlacement near(model->engine->placement());
    *adapter = make_handle(
        moxie::adapter::open_adapter(folder, moxie::model::base_linears(*model->decoder, norm_maker(*model->engine))),
        model->decoder);
  });
}

mox_status mox_adapter_open_for_block(const mox_block* block, const char* folder, mox_adapter** adapter,
                                      mox_error* error) {
  return guard(error, [&] {
    require_not_null(block, "block");
    require_not_null(folder, "folder");
    require_not_null(adapter, "adapter");
    const moxie::NearPlacement near(block->engine->placement());
    *adapter = make_handle(
        moxie::adapter::open_adapter(folder, moxie::model::base_linears(*block->layer, norm_maker(*block->engine))),
        block->layer);
  });
}

mox_status mox_adapter_open_for_feed_forward(const mox_feed_forward* feed_forward, const char* folder, int32_t layer,
                                             mox_adapter** adapter, mox_error* error) {
  return guard(error, [&] {
    require_not_null(feed_forward, "feed_forward");
    require_not_null(folder, "folder");
    require_not_null(adapter, "adapter");
    const int64_t wanted = layer >= 0 ? layer : feed_forward->layer->layer;
    if (layer < -1 || wanted < 0) {
      throw moxie::invalid_argument("layer is " + std::to_string(layer) +
                                    "; expected 0 or more (-1 where the feed-forward was opened from a checkpoint)");
    }
    const int64_t layers = feed_forward->layer->architecture.layers;
    if (layers > 0 && wanted >= layers) {
      throw moxie::not_found("layer is " + std::to_string(layer) + "; the base has " + std::to_string(layers));
    }
    const moxie::NearPlacement near(feed_forward->engine->placement());
    *adapter = make_handle(
        moxie::adapter::open_adapter(
            folder, moxie::model::base_linears(*feed_forward->layer, wanted, norm_maker(*feed_forward->engine))),
        feed_forward->layer);
  });
}

void mox_adapter_description_init(mox_adapter_description* description, size_t struct_size) {
  mox_adapter_description defaults{};
  defaults.top_k = 2;
  defaults.top_p = 0.8F;
  defaults.capacity = 32;
  moxie::api::init_struct(description, struct_size, defaults);
}

mox_status mox_adapter_create(const mox_feed_forward* feed_forward, const mox_adapter_description* description,
                              mox_adapter** adapter, mox_error* error) {
  return guard(error, [&] {
    require_not_null(feed_forward, "feed_forward");
    require_not_null(description, "description");
    require_not_null(adapter, "adapter");
    const mox_adapter_description given =
        moxie::api::read_struct(description, mox_adapter_description{}, "mox_adapter_description");
    const moxie::NearPlacement near(feed_forward->engine->placement());
    *adapter =
        make_handle(moxie::adapter::create_adapter(
                        given, moxie::model::base_linears(*feed_forward->layer, 0, norm_maker(*feed_forward->engine))),
                    feed_forward->layer);
  });
}

mox_status mox_adapter_describe(const mox_adapter* adapter, mox_adapter_info* info, mox_error* error) {
  return guard(error, [&] {
    require_not_null(adapter, "adapter");
    const moxie::adapter::Adapter& of_handle = *adapter->adapter;
    mox_adapter_info found{};
    found.kind = of_handle.kind;
    found.experts = of_handle.experts;
    found.top_k = of_handle.top_k;
    found.rank = of_handle.rank;
    found.dora = of_handle.dora ? 1 : 0;
    found.parameters = of_handle.parameters;
    found.bytes = of_handle.bytes;
    moxie::api::copy_text(found.name, sizeof(found.name), of_handle.name);
    moxie::api::write_struct(info, found, "mox_adapter_info");
  });
}

mox_status mox_adapter_router_loss(const mox_adapter* adapter, mox_router_loss_options* options, mox_error* error) {
  return guard(error, [&] {
    require_not_null(adapter, "adapter");
    require_not_null(options, "options");
    const moxie::adapter::Adapter& of_handle = *adapter->adapter;
    if (!of_handle.has_router_loss) {
      throw moxie::unsupported("adapter \"" + of_handle.name + "\" (" + mox_adapter_kind_name(of_handle.kind) +
                               ") adds no router loss");
    }
    mox_router_loss_options filled =
        moxie::api::read_struct(options, mox_router_loss_options{}, "mox_router_loss_options");
    filled.kind = of_handle.router_kind;
    filled.experts = of_handle.experts;
    filled.top_k = of_handle.top_k;
    filled.top_p = of_handle.top_p;
    filled.temperature = of_handle.temperature;
    filled.capacity = of_handle.capacity;
    filled.balance_coefficient = of_handle.balance_coefficient;
    filled.z_coefficient = of_handle.z_coefficient;
    moxie::api::write_struct(options, filled, "mox_router_loss_options");
  });
}

mox_adapter* mox_adapter_retain(mox_adapter* adapter) {
  if (adapter != nullptr) adapter->holders.fetch_add(1, std::memory_order_relaxed);
  return adapter;
}

void mox_adapter_release(mox_adapter* adapter) {
  if (adapter != nullptr && adapter->holders.fetch_sub(1, std::memory_order_acq_rel) == 1) delete adapter;
}
