// Where keys stand in the files of segments, for a reader that skips rows of them.
#pragma once

#include <memory>

#include "segments/segment_file.h"

namespace kalam::segments {

/// `reader` must outlive it.
std::unique_ptr<SegmentKeys> MakeSegmentKeys(SegmentReader& reader, SegmentFilePtr file,
                                             const storage::Scope& scope);

}  // namespace kalam::segments
