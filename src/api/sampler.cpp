#include "model/sampler.h"

#include <memory>

#include "api/call.h"
#include "moxie/sampler.h"

using moxie::api::guard;
using moxie::api::read_struct;
using moxie::api::require_not_null;

struct mox_sampler {
  moxie::model::Sampler sampler;
};

namespace {

mox_sampler_options defaults() {
  mox_sampler_options options{};
  options.struct_size = sizeof(options);
  options.top_p = 1;
  return options;
}

}  // namespace

void mox_sampler_options_init(mox_sampler_options* options, size_t struct_size) {
  moxie::api::init_struct(options, struct_size, defaults());
}

mox_status mox_sampler_create(const mox_sampler_options* options, mox_sampler** sampler, mox_error* error) {
  return guard(error, [&] {
    require_not_null(sampler, "sampler");
    const mox_sampler_options settings = read_struct(options, defaults(), "mox_sampler_options");
    *sampler = std::make_unique<mox_sampler>(mox_sampler{moxie::model::Sampler(settings)}).release();
  });
}

mox_status mox_sampler_next(mox_sampler* sampler, const float* logits, int64_t vocabulary, int32_t* token,
                            mox_error* error) {
  return guard(error, [&] {
    require_not_null(sampler, "sampler");
    require_not_null(logits, "logits");
    require_not_null(token, "token");
    *token = sampler->sampler.next(logits, vocabulary);
  });
}

void mox_sampler_free(mox_sampler* sampler) { delete sampler; }
