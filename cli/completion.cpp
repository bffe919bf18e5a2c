// Completion of names and keywords.
#include "completion.h"

#include <algorithm>
#include <cctype>
#include <set>

#include "line_editor.h"
#include "vocabulary.h"

namespace kalam::cli {
namespace {

bool StartsWithFolded(const std::string& word, const std::string& prefix) {
  if (word.size() < prefix.size()) return false;
  return std::equal(
      prefix.begin(), prefix.end(), word.begin(),
      [](unsigned char a, unsigned char b) { return std::tolower(a) == std::tolower(b); });
}

}  // namespace

void Completion::Refresh(Session& session) {
  const Result<Answer> answer = session.Run(
      "SELECT namespace_id, table_name, column_name FROM system.columns ORDER BY namespace_id, "
      "table_name, ordinal");
  if (!answer.ok() || !answer->ok || answer->results.empty()) return;
  std::set<std::string> namespaces;
  columns_by_table_.clear();
  for (const auto& row : answer->results[0].table.rows) {
    if (row.size() < 3) continue;
    namespaces.insert(row[0].text);
    columns_by_table_[row[0].text + "." + row[1].text].push_back(row[2].text);
  }
  namespaces_.assign(namespaces.begin(), namespaces.end());
}

std::vector<std::string> Completion::For(const std::string& line) const {
  const std::string word = WordAtEnd(line);
  std::set<std::string> words;
  const auto offer = [&](const std::string& candidate) {
    if (StartsWithFolded(candidate, word)) words.insert(candidate);
  };
  if (!word.empty() && word[0] == '\\') {
    for (const char* command : MetaCommands()) offer(command);
    return {words.begin(), words.end()};
  }
  if (word.empty()) return {};
  for (const char* keyword : Keywords()) offer(keyword);
  for (const char* function : FunctionNames()) offer(function);
  for (const char* type : TypeNames()) offer(type);
  for (const std::string& name : namespaces_) offer(name + ".");
  for (const auto& [table, columns] : columns_by_table_) {
    offer(table);
    // Columns of the tables that the line already names.
    if (line.find(table) != std::string::npos) {
      for (const std::string& column : columns) offer(column);
    }
  }
  // A whole namespace and dot must not hide its tables.
  if (word.find('.') != std::string::npos) words.erase(word);
  return {words.begin(), words.end()};
}

}  // namespace kalam::cli
