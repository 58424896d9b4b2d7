/* Moxie: mixture-of-experts feed-forward layers and LoRA experts on server CPUs.
 *
 * Conventions, the same for every noun:
 *   - a function that can fail returns mox_status and takes an optional mox_error* as its last
 *     argument; outputs stay untouched on error;
 *   - options and info structs start with struct_size and only grow; an _init function fills the
 *     defaults of options;
 *   - handles are opaque; *_free(NULL) and mox_adapter_release(NULL) are allowed;
 *   - strings are UTF-8 and end with a zero byte;
 *   - the library never prints, exits, aborts, or lets an exception out.
 */
#ifndef MOXIE_MOXIE_H
#define MOXIE_MOXIE_H

#include "moxie/adapter.h"
#include "moxie/block.h"
#include "moxie/feed_forward.h"
#include "moxie/file.h"
#include "moxie/model.h"
#include "moxie/router_loss.h"
#include "moxie/routing.h"
#include "moxie/runtime.h"
#include "moxie/sampler.h"
#include "moxie/sequence.h"
#include "moxie/status.h"
#include "moxie/types.h"

#endif
