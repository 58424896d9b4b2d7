#include "moe/router_loss.h"

#include "api/call.h"
#include "moxie/router_loss.h"

using moxie::api::guard;
using moxie::api::read_struct;
using moxie::api::require_not_null;

namespace {

// MoE-PEFT's defaults for what an adapter_config.json leaves out.
mox_router_loss_options defaults() {
  mox_router_loss_options options{};
  options.struct_size = sizeof(options);
  options.kind = MOX_ROUTER_MIXLORA;
  options.top_k = 2;
  options.top_p = 0.8F;
  options.capacity = 32;
  options.balance_coefficient = 0.001;
  options.z_coefficient = 0.001;
  options.layers = 1;
  options.sequences = 1;
  return options;
}

mox_router_loss_options read(const mox_router_loss_options* options) {
  require_not_null(options, "options");
  return read_struct(options, defaults(), "mox_router_loss_options");
}

}  // namespace

void mox_router_loss_options_init(mox_router_loss_options* options, size_t struct_size) {
  moxie::api::init_struct(options, struct_size, defaults());
}

mox_status mox_router_loss(const mox_router_loss_options* options, const float* logits, int64_t row_count, double* loss,
                           mox_error* error) {
  return guard(error, [&] {
    const mox_router_loss_options settings = read(options);
    require_not_null(logits, "logits");
    require_not_null(loss, "loss");
    *loss = moxie::moe::router_loss(settings, logits, row_count);
  });
}

mox_status mox_router_profile(const mox_router_loss_options* options, const float* logits, int64_t row_count,
                              double* profile, mox_error* error) {
  return guard(error, [&] {
    const mox_router_loss_options settings = read(options);
    require_not_null(logits, "logits");
    require_not_null(profile, "profile");
    moxie::moe::router_profile(settings, logits, row_count, profile);
  });
}
