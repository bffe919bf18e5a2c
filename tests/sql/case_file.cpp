// Reads the files of tests/sql/cases.
#include "case_file.h"

#include <fstream>
#include <sstream>

namespace kalam::sqltest {
namespace {

/// Lines with their numbers, and complaints that name them.
class Lines {
 public:
  explicit Lines(std::string path) : path_(std::move(path)), file_(path_) {}
  bool opened() const { return file_.is_open(); }
  bool Next(std::string* line) {
    if (!std::getline(file_, *line)) return false;
    ++number_;
    return true;
  }
  int number() const { return number_; }
  Status Wrong(const std::string& what) const {
    return Status(ErrorKind::InvalidInput, path_ + ":" + std::to_string(number_) + ": " + what);
  }

 private:
  const std::string path_;
  std::ifstream file_;
  int number_ = 0;
};

Status ReadHeader(const std::string& header, const Lines& lines, Record* record) {
  std::istringstream words(header);
  std::string word;
  words >> word;
  if (word == "statement") {
    record->kind = RecordKind::kStatement;
  } else if (word == "query") {
    record->kind = RecordKind::kQuery;
  } else if (word == "error") {
    record->kind = RecordKind::kError;
  } else if (word == "user") {
    record->kind = RecordKind::kUser;
    words >> record->sql;
    return record->sql.empty() ? lines.Wrong("user needs a name") : Status::Ok();
  } else {
    return lines.Wrong("unknown record '" + word + "'");
  }
  while (words >> word) {
    if (record->kind != RecordKind::kQuery) return lines.Wrong("unexpected '" + word + "'");
    if (word == "sorted") {
      record->sorted = true;
    } else {
      record->types.push_back(word);
    }
  }
  return Status::Ok();
}

Status ReadBody(Lines* lines, Record* record) {
  bool expected = false;
  std::string line;
  while (lines->Next(&line) && !line.empty()) {
    if (!expected && line == "----") {
      expected = true;
    } else if (expected) {
      record->expected.push_back(line);
    } else {
      record->sql += record->sql.empty() ? line : "\n" + line;
    }
  }
  if (record->sql.empty()) return lines->Wrong("a record without SQL");
  if (!expected && record->kind != RecordKind::kStatement) return lines->Wrong("nothing expected");
  return Status::Ok();
}

Status ReadRestriction(const std::string& line, const Lines& lines, Record* record) {
  const size_t colon = line.find(": ");
  if (colon == std::string::npos) return lines.Wrong("'only' needs a reason");
  const std::string run = line.substr(5, colon - 5);
  if (run != "native" && run != "engine") return lines.Wrong("only native or only engine");
  record->native = run == "native";
  record->engine = run == "engine";
  return Status::Ok();
}

}  // namespace

Result<std::vector<Record>> ReadCaseFile(const std::string& path) {
  Lines lines(path);
  if (!lines.opened()) return Status(ErrorKind::InvalidInput, path + " cannot be read");
  std::vector<Record> records;
  Record record;
  std::string line;
  while (lines.Next(&line)) {
    if (line.empty() || line[0] == '#') continue;
    if (line.starts_with("only ")) {
      KALAM_RETURN_IF_ERROR(ReadRestriction(line, lines, &record));
      continue;
    }
    record.line = lines.number();
    KALAM_RETURN_IF_ERROR(ReadHeader(line, lines, &record));
    if (record.kind != RecordKind::kUser) KALAM_RETURN_IF_ERROR(ReadBody(&lines, &record));
    records.push_back(std::move(record));
    record = Record();
  }
  if (records.empty()) return Status(ErrorKind::InvalidInput, path + " has no records");
  return records;
}

}  // namespace kalam::sqltest
