// Running a native SELECT as a stream that holds nothing open between chunks.
#pragma once

#include <memory>

#include "query/execution.h"
#include "query/plan.h"

namespace kalam::vectors {
class VectorIndexes;
}

namespace kalam::query {

/// What the streams of one engine share. Outlives them.
struct StreamServices {
  tables::TableReader& reader;
  IdSource& ids;
  const Clock& clock;
  vectors::VectorIndexes* vector_indexes = nullptr;
};

/// Opens a native plan (plan->body holds a SelectPlan). `scope` is set for user tables, `buffer`
/// for system tables.
Result<std::unique_ptr<RowStream>> OpenNativeSelect(const StreamServices& services,
                                                    const BoundPlan& bound,
                                                    const StatementContext& context,
                                                    tables::ReadScope scope,
                                                    std::shared_ptr<const RowBuffer> buffer);

/// Whether the plan's ORDER BY finds an index to go through now.
bool UsesVectorIndex(const vectors::VectorIndexes* indexes, const SelectPlan& plan);

/// `inner` cut after `rows_max` rows, telling `notice` when there were more.
std::unique_ptr<RowStream> CutAfter(std::unique_ptr<RowStream> inner, int64_t rows_max,
                                    std::string notice);

}  // namespace kalam::query
