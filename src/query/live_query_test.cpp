// Subscriptions: the shapes that are refused, what matches, and what subscriptions share.
#include "query/live_query.h"

#include "query/query_fixture.h"

namespace kalam::query {
namespace {

class LiveQueryTest : public QueryTest {
 protected:
  Result<std::shared_ptr<const LiveQuery>> Compile(std::string_view text,
                                                   catalog::Role role = catalog::Role::kUser) {
    return CompileLiveQuery(text, *catalog_, {"ann", role}, clock_.NowUs(), statements_);
  }
  std::string Error(std::string_view text) {
    const auto query = Compile(text);
    return query.ok() ? "compiled" : query.status().ToString();
  }
  /// Cells of `notes`: id, name, score, price, created, required, _seq, _deleted.
  static std::vector<Datum> Cells(int64_t id, const char* name, std::optional<int> score) {
    std::vector<Datum> cells(8);
    cells[0] = Datum::BigInt(id);
    cells[1] = Datum::Text(name);
    cells[2] =
        score.has_value() ? Datum::OfInt(TypeKind::kInt, *score) : Datum::Null(TypeKind::kInt);
    cells[6] = Datum::BigInt(1000 + id);
    return cells;
  }

  MemoryAccount statements_{"statements", nullptr};
};

TEST_F(LiveQueryTest, ReadingALargeTextAsksForItsMemory) {
  std::string text = "SELECT * FROM app.notes WHERE id = 0";
  for (int i = 1; i < 1'000; ++i) text += " OR id = " + std::to_string(i);
  statements_.set_limit_bytes(1 << 20);
  EXPECT_EQ(Compile(text).status().kind(), ErrorKind::MemoryPressure);
  EXPECT_EQ(statements_.used_bytes(), 0);
  statements_.set_limit_bytes(4 << 20);
  EXPECT_TRUE(Compile(text).ok());
  EXPECT_EQ(statements_.used_bytes(), 0);
  EXPECT_GT(statements_.peak_bytes(), 2'000'000);
}

TEST_F(LiveQueryTest, RefusesWhatIsNotProjectionAndFilter) {
  const std::string only = " Only SELECT ... FROM ... [WHERE ...] is supported.";
  const std::string not_supported = "Invalid SQL: Subscription query does not support ";
  EXPECT_EQ(Error("SELECT * FROM app.notes ORDER BY id"), not_supported + "ORDER BY." + only);
  EXPECT_EQ(Error("SELECT * FROM app.notes LIMIT 1"), not_supported + "LIMIT." + only);
  EXPECT_EQ(Error("SELECT DISTINCT id FROM app.notes"), not_supported + "DISTINCT." + only);
  EXPECT_EQ(Error("SELECT id FROM app.notes GROUP BY id"), not_supported + "GROUP BY." + only);
  EXPECT_EQ(Error("SELECT * FROM app.notes, app.shared"),
            not_supported + "multiple tables." + only);
  EXPECT_EQ(Error("SELECT * FROM app.notes JOIN app.shared USING (id)"),
            not_supported + "JOIN." + only);
  EXPECT_EQ(Error("SELECT * FROM (SELECT 1) x"), not_supported + "subqueries in FROM." + only);
  EXPECT_EQ(Error("WITH x AS (SELECT 1) SELECT * FROM app.notes"), not_supported + "WITH." + only);
  EXPECT_EQ(Error("SELECT id FROM app.notes UNION SELECT 1"),
            not_supported + "UNION, INTERSECT or EXCEPT." + only);
  EXPECT_EQ(Error("SELECT id + 1 FROM app.notes"),
            not_supported + "expressions in the select list." + only);
  EXPECT_EQ(Error("SELECT id FROM app.notes WHERE id IN (SELECT 1)"),
            not_supported + "subqueries." + only);
  EXPECT_EQ(Error("SELECT id FROM app.notes WHERE id = snowflake_id()"),
            not_supported + "snowflake_id()." + only);
  EXPECT_EQ(Error("SELECT id, _seq FROM app.notes"),
            "Invalid SQL: Subscription query cannot project system columns '_seq' or '_deleted'.");
  EXPECT_EQ(Error("SELECT * FROM notes"),
            "Invalid SQL: Subscription query must name its table as namespace.table");
  EXPECT_EQ(Error("SELECT * FROM app.notes; SELECT 1"),
            "Invalid SQL: Subscription query must be exactly one SELECT statement.");
  EXPECT_EQ(Error("DELETE FROM app.notes WHERE id = 1"),
            "Invalid SQL: Subscription query must be a SELECT statement.");
  EXPECT_EQ(Error("SELECT * FROM app.nothing"),
            "Table not found: table 'kalam.app.nothing' not found");
  EXPECT_EQ(Error("SELECT * FROM app.notes WHERE name ~ 'x'"),
            "operator ~ cannot be evaluated in a subscription's filter");
}

TEST_F(LiveQueryTest, MatchesAsSelectDoes) {
  const auto matches = [&](const std::string& filter, const std::vector<Datum>& cells) {
    const auto query = Compile("SELECT * FROM app.notes WHERE " + filter);
    EXPECT_TRUE(query.ok()) << filter << ": " << query.status().ToString();
    return query.ok() && (*query)->Matches(cells);
  };
  const std::vector<Datum> row = Cells(7, "ann", 5);
  EXPECT_TRUE(matches("id = 7 AND score > 4", row));
  EXPECT_FALSE(matches("id = 8 AND score > 4", row));
  EXPECT_TRUE(matches("name = CURRENT_USER()", row));
  EXPECT_TRUE(matches("name LIKE 'a%' OR id = 1", row));
  EXPECT_TRUE(matches("score IN (1, 5) AND id BETWEEN 7 AND 8 AND upper(name) = 'ANN'", row));
  EXPECT_TRUE(matches("_seq > 1000", row));
  EXPECT_FALSE(matches("score = 5", Cells(7, "ann", std::nullopt)));
  EXPECT_FALSE(matches("score <> 5", Cells(7, "ann", std::nullopt)));
  EXPECT_TRUE(matches("score IS NULL", Cells(7, "ann", std::nullopt)));
  EXPECT_FALSE(matches("score / 0 = 1", row));
}

TEST_F(LiveQueryTest, FindsTheKeyAndTheSharedShape) {
  const auto seven =
      Compile("SELECT id, name FROM app.notes WHERE score > 1 AND name = 'x' AND id > 2");
  const auto eight =
      Compile("select id,name from app.notes where score > 1 and name = 'yy' and id > 2");
  const auto other =
      Compile("SELECT id, name FROM app.notes WHERE score > 2 AND name = 'x' AND id > 2");
  ASSERT_TRUE(seven.ok() && eight.ok() && other.ok());
  ASSERT_TRUE((*seven)->equality_key().has_value());
  EXPECT_EQ((*seven)->equality_key()->column, 1u);
  EXPECT_EQ((*eight)->equality_key()->value, Value::Text("yy"));
  EXPECT_EQ((*seven)->shape_key(), (*eight)->shape_key());
  EXPECT_NE((*seven)->shape_key(), (*other)->shape_key());
  EXPECT_EQ((*seven)->projection_key(), (*other)->projection_key());
  EXPECT_EQ((*seven)->projection(), (std::vector<uint32_t>{0, 1}));
  EXPECT_EQ((*seven)->filter_columns(), (std::vector<uint32_t>{0, 1, 2}));
  EXPECT_TRUE((*seven)->MatchesRest(Cells(3, "anything", 5)));
  EXPECT_FALSE((*seven)->Matches(Cells(3, "anything", 5)));
  EXPECT_FALSE((*seven)->MatchesRest(Cells(1, "x", 5)));
}

TEST_F(LiveQueryTest, KeysAreCellsOfTheColumn) {
  const auto small = Compile("SELECT * FROM app.notes WHERE score = 5");
  ASSERT_TRUE(small.ok() && (*small)->equality_key().has_value());
  EXPECT_EQ((*small)->equality_key()->value.kind(), TypeKind::kInt);
  EXPECT_FALSE(
      (*Compile("SELECT * FROM app.notes WHERE score = 5000000000"))->equality_key().has_value());
  EXPECT_FALSE((*Compile("SELECT * FROM app.notes WHERE price = 5"))->equality_key().has_value());
  EXPECT_FALSE(
      (*Compile("SELECT * FROM app.notes WHERE id = 1 OR id = 2"))->equality_key().has_value());
  const auto all = Compile("SELECT * FROM app.notes");
  EXPECT_FALSE((*all)->has_filter());
  EXPECT_EQ((*all)->schema().size(), 8u);
  EXPECT_EQ((*all)->projection().size(), 6u);
}

}  // namespace
}  // namespace kalam::query
