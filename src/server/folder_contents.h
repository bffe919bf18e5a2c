// What manifests say of files and vector indexes, told by those who own them.
#pragma once

#include "base/status.h"
#include "files/file_store.h"
#include "tiering/folder_contents.h"
#include "vectors/vector_indexes.h"

namespace kalam::server {

/// `indexes` may be null. Errors: StorageIo, Corruption.
Result<tiering::FolderContents> ContentsOf(files::FileStore& files,
                                           const vectors::VectorIndexes* indexes,
                                           const catalog::TableDefinition& table,
                                           const segments::SegmentPlace& place);

}  // namespace kalam::server
