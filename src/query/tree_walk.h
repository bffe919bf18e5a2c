// Looking through syntax trees: every expression and every table of a query, and a few questions
// about them.
#pragma once

#include <functional>
#include <string_view>

#include "sql/ast.h"

namespace kalam::query {

/// Calls `visit` for `expr` and everything below it, subqueries left out.
void ForEachExpr(const sql::Expr& expr, const std::function<void(const sql::Expr&)>& visit);

/// Whether a column of that name (its last part) is read in `expr`.
bool MentionsColumn(const sql::Expr& expr, std::string_view column);

/// Calls `visit` for every expression of `query`, subqueries and common tables included, outer ones
/// first.
void ForEachExprOfQuery(sql::Query* query, const std::function<void(sql::Expr*)>& visit);

}  // namespace kalam::query
