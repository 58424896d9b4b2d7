// Which state of a checkpoint, held how: what a packed cache must have been made from to be used.
#pragma once

#include <string>
#include <vector>

#include "cache/packed_file.h"
#include "checkpoint/tensor_source.h"

namespace moxie::cache {

// 32 hexadecimal digits over
//   - the versions of file format and packed layout (one layout serves every instruction set, so none is named),
//   - each section: tensor, dtype it is held in, shape, place, and the dtype it is stored in,
//   - each file of the checkpoint: name, size, time of its last change, hash of its header,
//   - 4 KiB of each section's tensor, at a place that depends on its name (of 4096 tensors evenly chosen where there
//     are more), unless the headers hold checksums of all data.
// The time of change catches what the samples miss; samples and headers catch files that were exchanged with their time
// kept. Nothing is named that copying a folder with its times would change (inode, path, owner), and not the
// configuration: what of it decides the packed bytes is in the list of sections. Errors as reading.
std::string fingerprint_of(const checkpoint::TensorSource& source, const std::vector<PackedSection>& sections,
                           int threads);

}  // namespace moxie::cache
