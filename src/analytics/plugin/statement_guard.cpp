// The two walls between a statement's text and the engine.
#include "analytics/plugin/statement_guard.h"

#include <algorithm>
#include <array>
#include <duckdb/common/string_util.hpp>
#include <duckdb/parser/expression/list.hpp>
#include <duckdb/parser/parsed_expression_iterator.hpp>
#include <duckdb/parser/parser.hpp>
#include <duckdb/parser/query_node/list.hpp>
#include <duckdb/parser/result_modifier.hpp>
#include <duckdb/parser/statement/select_statement.hpp>
#include <duckdb/parser/tableref/list.hpp>
#include <duckdb/planner/expression/bound_function_expression.hpp>
#include <duckdb/planner/expression_iterator.hpp>
#include <duckdb/planner/logical_operator_visitor.hpp>
#include <duckdb/planner/operator/logical_get.hpp>
#include <functional>
#include <set>
#include <string_view>

#include "analytics/plugin/column_origin.h"
#include "analytics/plugin/native_functions.h"
#include "analytics/plugin/query_state.h"
#include "analytics/plugin/scan_function.h"

namespace kalam::analytics {
namespace {

// Nesting beyond this is refused before it can exhaust the stack.
constexpr int kDepthMax = 400;

constexpr std::array<std::string_view, 4> kTableFunctions = {kScanFunctionName, "range",
                                                             "generate_series", "unnest"};

// Tell of the server, keep state, run text, wait, or allocate without bound.
constexpr std::array<std::string_view, 39> kRefusedFunctions = {
    "getenv",
    "current_setting",
    "getvariable",
    "write_log",
    "nextval",
    "currval",
    "setseed",
    "current_database",
    "current_schema",
    "current_schemas",
    "current_query",
    "current_connection_id",
    "current_query_id",
    "current_transaction_id",
    "txid_current",
    "pg_size_pretty",
    "in_search_path",
    "has_any_column_privilege",
    "json_serialize_sql",
    "json_deserialize_sql",
    "json_execute_serialized_sql",
    "json_serialize_plan",
    "sql_auto_complete",
    "repeat",
    "lpad",
    "rpad",
    "repeat_row",
    "list_resize",
    "array_resize",
    "bar",
    "which_secret",
    "version",
    "pg_typeof",
    "add_parquet_key",
    "checkpoint",
    "force_checkpoint",
    "sleep",
    "sleep_ms",
    "printf",
};

[[noreturn]] void Refuse(const std::string& what) {
  throw duckdb::PermissionException("%s is not available", what);
}

template <size_t kSize>
bool Contains(const std::array<std::string_view, kSize>& names, const std::string& name) {
  return std::find(names.begin(), names.end(), duckdb::StringUtil::Lower(name)) != names.end();
}

/// Also gives the functions of ours their names in the engine.
class TreeWalk {
 public:
  void Node(duckdb::QueryNode& node) {
    const Depth depth(this);
    for (auto& entry : node.cte_map.map) {
      common_tables_.insert(duckdb::StringUtil::Lower(entry.first));
      Node(*entry.second->query->node);
      for (auto& key : entry.second->key_targets) Expression(key);
    }
    switch (node.type) {
      case duckdb::QueryNodeType::SELECT_NODE:
        Select(node.Cast<duckdb::SelectNode>());
        break;
      case duckdb::QueryNodeType::SET_OPERATION_NODE:
        Node(*node.Cast<duckdb::SetOperationNode>().left);
        Node(*node.Cast<duckdb::SetOperationNode>().right);
        break;
      case duckdb::QueryNodeType::RECURSIVE_CTE_NODE: {
        auto& recursive = node.Cast<duckdb::RecursiveCTENode>();
        common_tables_.insert(duckdb::StringUtil::Lower(recursive.ctename));
        Node(*recursive.left);
        Node(*recursive.right);
        break;
      }
      case duckdb::QueryNodeType::CTE_NODE: {
        auto& common = node.Cast<duckdb::CTENode>();
        common_tables_.insert(duckdb::StringUtil::Lower(common.ctename));
        Node(*common.query);
        Node(*common.child);
        break;
      }
      default:
        Refuse("this kind of query");
    }
    for (auto& modifier : node.modifiers) Modifier(*modifier);
  }

 private:
  /// Counts the nesting while it lives.
  class Depth {
   public:
    explicit Depth(TreeWalk* walk) : walk_(walk) {
      if (++walk_->depth_ > kDepthMax) Refuse("such deep nesting");
    }
    Depth(const Depth&) = delete;
    Depth& operator=(const Depth&) = delete;
    ~Depth() { --walk_->depth_; }

   private:
    TreeWalk* const walk_;
  };

  using ExpressionPtr = duckdb::unique_ptr<duckdb::ParsedExpression>;

  void Optional(ExpressionPtr& expression) {
    if (expression) Expression(expression);
  }

  void Select(duckdb::SelectNode& select) {
    for (auto& item : select.select_list) Expression(item);
    for (auto& group : select.groups.group_expressions) Expression(group);
    Optional(select.where_clause);
    Optional(select.having);
    Optional(select.qualify);
    if (select.from_table) Table(*select.from_table);
  }

  void Modifier(duckdb::ResultModifier& modifier) {
    switch (modifier.type) {
      case duckdb::ResultModifierType::LIMIT_MODIFIER:
        Optional(modifier.Cast<duckdb::LimitModifier>().limit);
        Optional(modifier.Cast<duckdb::LimitModifier>().offset);
        break;
      case duckdb::ResultModifierType::ORDER_MODIFIER:
        for (auto& order : modifier.Cast<duckdb::OrderModifier>().orders)
          Expression(order.expression);
        break;
      case duckdb::ResultModifierType::DISTINCT_MODIFIER:
        for (auto& target : modifier.Cast<duckdb::DistinctModifier>().distinct_on_targets) {
          Expression(target);
        }
        break;
      default:
        Refuse("this kind of limit");
    }
  }

  void Table(duckdb::TableRef& table) {
    const Depth depth(this);
    switch (table.type) {
      case duckdb::TableReferenceType::EMPTY_FROM:
        return;
      case duckdb::TableReferenceType::SUBQUERY:
        return Node(*table.Cast<duckdb::SubqueryRef>().subquery->node);
      case duckdb::TableReferenceType::JOIN: {
        auto& join = table.Cast<duckdb::JoinRef>();
        Table(*join.left);
        Table(*join.right);
        return Optional(join.condition);
      }
      case duckdb::TableReferenceType::EXPRESSION_LIST:
        for (auto& row : table.Cast<duckdb::ExpressionListRef>().values) {
          for (auto& cell : row) Expression(cell);
        }
        return;
      case duckdb::TableReferenceType::BASE_TABLE: {
        const auto& base = table.Cast<duckdb::BaseTableRef>();
        const bool qualified = !base.catalog_name.empty() || !base.schema_name.empty();
        if (qualified || !common_tables_.contains(duckdb::StringUtil::Lower(base.table_name))) {
          Refuse("table '" + base.table_name + "'");
        }
        return;
      }
      case duckdb::TableReferenceType::TABLE_FUNCTION: {
        auto& call = table.Cast<duckdb::TableFunctionRef>();
        if (call.subquery ||
            call.function->GetExpressionClass() != duckdb::ExpressionClass::FUNCTION) {
          Refuse("this kind of table");
        }
        auto& function = call.function->Cast<duckdb::FunctionExpression>();
        if (!Contains(kTableFunctions, function.function_name))
          Refuse(function.function_name + "()");
        for (auto& argument : function.children) Expression(argument);
        return;
      }
      default:
        Refuse("this kind of table");
    }
  }

  void Expression(ExpressionPtr& expression) {
    const Depth depth(this);
    switch (expression->GetExpressionClass()) {
      case duckdb::ExpressionClass::FUNCTION: {
        auto& call = expression->Cast<duckdb::FunctionExpression>();
        const std::string name = FunctionInEngine(call.function_name);
        if (name != call.function_name) {
          call.function_name = name;
          call.schema.clear();
        }
        Function(call.schema, name);
        break;
      }
      case duckdb::ExpressionClass::WINDOW:
        Function(expression->Cast<duckdb::WindowExpression>().schema,
                 expression->Cast<duckdb::WindowExpression>().function_name);
        break;
      case duckdb::ExpressionClass::SUBQUERY:
        Node(*expression->Cast<duckdb::SubqueryExpression>().subquery->node);
        break;
      case duckdb::ExpressionClass::CAST:
        WriteTextAsWeDo(expression);
        break;
      default:
        break;
    }
    const std::function<void(ExpressionPtr&)> visit = [this](ExpressionPtr& child) {
      Expression(child);
    };
    duckdb::ParsedExpressionIterator::EnumerateChildren(*expression, visit);
  }

  /// CAST(x AS TEXT) gives the texts of our own casts: `1` for a double where the engine has `1.0`.
  static void WriteTextAsWeDo(ExpressionPtr& expression) {
    auto& cast = expression->Cast<duckdb::CastExpression>();
    if (cast.try_cast || cast.cast_type.id() != duckdb::LogicalTypeId::VARCHAR) return;
    duckdb::vector<ExpressionPtr> arguments;
    arguments.push_back(std::move(cast.child));
    auto call =
        duckdb::make_uniq<duckdb::FunctionExpression>(kTextFunctionName, std::move(arguments));
    call->SetAlias(expression->GetAlias());
    expression = std::move(call);
  }

  static void Function(const std::string& schema, const std::string& name) {
    if (!schema.empty() && schema != "main" && schema != "pg_catalog")
      Refuse(schema + "." + name + "()");
    if (Contains(kRefusedFunctions, name)) Refuse(name + "()");
  }

  std::set<std::string> common_tables_;
  int depth_ = 0;
};

/// Visits every operator and expression of a plan.
class PlanWalk : public duckdb::LogicalOperatorVisitor {
 public:
  void VisitOperator(duckdb::LogicalOperator& op) override {
    if (op.type == duckdb::LogicalOperatorType::LOGICAL_GET) {
      const std::string& name = op.Cast<duckdb::LogicalGet>().function.name;
      if (!Contains(kTableFunctions, name)) Refuse(name + "()");
    }
    VisitOperatorChildren(op);
    VisitOperatorExpressions(op);
  }

 protected:
  duckdb::unique_ptr<duckdb::Expression> VisitReplace(
      duckdb::BoundFunctionExpression& expression,
      duckdb::unique_ptr<duckdb::Expression>*) override {
    if (Contains(kRefusedFunctions, expression.function.name))
      Refuse(expression.function.name + "()");
    return nullptr;
  }
};

void GuardPlan(duckdb::OptimizerExtensionInput& input,
               duckdb::unique_ptr<duckdb::LogicalOperator>& plan) {
  PlanWalk().VisitOperator(*plan);
  const auto state = input.context.registered_state->Get<QueryState>(QueryState::kKey);
  if (state) state->set_origins(TraceColumns(input.context, *plan));
}

}  // namespace

duckdb::unique_ptr<duckdb::SQLStatement> ParseGuarded(const std::string& sql) {
  duckdb::Parser parser;
  parser.ParseQuery(sql);
  if (parser.statements.size() != 1) Refuse("more or less than one statement");
  auto statement = std::move(parser.statements[0]);
  if (statement->type != duckdb::StatementType::SELECT_STATEMENT) Refuse("this kind of statement");
  TreeWalk().Node(*statement->Cast<duckdb::SelectStatement>().node);
  return statement;
}

duckdb::OptimizerExtension PlanGuard() {
  duckdb::OptimizerExtension guard;
  guard.pre_optimize_function = GuardPlan;
  return guard;
}

}  // namespace kalam::analytics
