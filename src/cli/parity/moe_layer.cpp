// Kind `moe_layer`: a model's own bank of experts, without adapters.
#include "cli/parity/hidden_states.h"

namespace moxie::cli::parity {

Values run_moe_layer(const Case& c, const Runtime& runtime) {
  c.understand({"family"}, {"hidden_states"});
  c.expect_plain_base();
  const auto family = c.option<std::string>("family");
  const auto feed_forward =
      make<FeedForward>(mox_feed_forward_open, runtime.get(), c.base().c_str(), c.layer(), nullptr);
  const auto info = describe<mox_feed_forward_info>(mox_feed_forward_describe, feed_forward);
  if (info.kind != MOX_FEED_FORWARD_EXPERTS) {
    throw NotRun("the base's feed-forward has no experts, and the case's family is '" + family + "'");
  }
  return run_hidden_states(c, feed_forward);
}

}  // namespace moxie::cli::parity
