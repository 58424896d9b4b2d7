#include "api/batch.h"
#include "api/call.h"
#include "api/handles.h"

using moxie::api::guard;

namespace {

mox_sequence* create(std::shared_ptr<const void> owner, const moxie::transformer::Geometry& geometry, int64_t layers,
                     const mox_sequence_options* options) {
  const mox_sequence_options given = moxie::api::read_struct(options, mox_sequence_options{}, "mox_sequence_options");
  if (given.first_position < 0 || given.first_position > (int64_t{1} << 40)) {
    throw moxie::invalid_argument("first_position is " + std::to_string(given.first_position) + "; expected 0 or more");
  }
  moxie::api::require_hidden_dtype(given.kv, "kv");
  const moxie::transformer::CacheShape shape{layers, geometry.kv_heads, geometry.head_dim, given.kv};
  auto handle = std::make_unique<mox_sequence>();
  handle->owner = std::move(owner);
  handle->sequence = std::make_unique<moxie::transformer::Sequence>(shape, given.first_position);
  return handle.release();
}

}  // namespace

void mox_sequence_options_init(mox_sequence_options* options, size_t struct_size) {
  moxie::api::init_struct(options, struct_size, mox_sequence_options{});
}

mox_status mox_sequence_create(const mox_model* model, const mox_sequence_options* options, mox_sequence** sequence,
                               mox_error* error) {
  return guard(error, [&] {
    moxie::api::require_not_null(model, "model");
    moxie::api::require_not_null(sequence, "sequence");
    *sequence =
        create(model->decoder, model->decoder->geometry, static_cast<int64_t>(model->decoder->blocks.size()), options);
  });
}

mox_status mox_sequence_create_for_block(const mox_block* block, const mox_sequence_options* options,
                                         mox_sequence** sequence, mox_error* error) {
  return guard(error, [&] {
    moxie::api::require_not_null(block, "block");
    moxie::api::require_not_null(sequence, "sequence");
    *sequence = create(block->layer, block->layer->geometry, 1, options);
  });
}

mox_status mox_sequence_fork(const mox_sequence* sequence, mox_sequence** fork, mox_error* error) {
  return guard(error, [&] {
    moxie::api::require_not_null(fork, "fork");
    moxie::api::CallMemory memory;
    moxie::api::HeldSequences held(memory);
    const moxie::transformer::Sequence* from = held.hold(sequence, "sequence");
    auto handle = std::make_unique<mox_sequence>();
    handle->owner = sequence->owner;
    handle->sequence = from->fork();
    *fork = handle.release();
  });
}

mox_status mox_sequence_truncate(mox_sequence* sequence, int64_t length, mox_error* error) {
  return guard(error, [&] {
    moxie::api::CallMemory memory;
    moxie::api::HeldSequences held(memory);
    moxie::transformer::Sequence* of_call = held.hold(sequence, "sequence");
    if (length < 0 || length > of_call->length) {
      throw moxie::invalid_argument("length is " + std::to_string(length) + "; the sequence holds " +
                                    std::to_string(of_call->length));
    }
    of_call->truncate(length);
  });
}

mox_status mox_sequence_describe(const mox_sequence* sequence, mox_sequence_info* info, mox_error* error) {
  return guard(error, [&] {
    moxie::api::CallMemory memory;
    moxie::api::HeldSequences held(memory);
    const moxie::transformer::Sequence* of_call = held.hold(sequence, "sequence");
    mox_sequence_info found{};
    found.length = of_call->length;
    found.first_position = of_call->first_position;
    found.kv = of_call->cache.shape().dtype;
    found.kv_bytes = of_call->cache.bytes();
    moxie::api::write_struct(info, found, "mox_sequence_info");
  });
}

int64_t mox_sequence_length(const mox_sequence* sequence) {
  return sequence == nullptr ? 0 : sequence->sequence->length;
}

void mox_sequence_free(mox_sequence* sequence) { delete sequence; }
