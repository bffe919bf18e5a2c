// Reading the chat history.
#include "messages.h"

#include <zlib.h>

#include <memory>
#include <nlohmann/json.hpp>

namespace kalam::demo {
namespace {

struct GzClose {
  void operator()(gzFile file) const { gzclose(file); }
};

Result<std::string> ReadGzip(const std::string& path) {
  const std::unique_ptr<gzFile_s, GzClose> file(gzopen(path.c_str(), "rb"));
  if (file == nullptr)
    return Status(ErrorKind::StorageIo,
                  "cannot open " + path + "; run this from the project's folder");
  std::string text;
  std::string chunk(1 << 20, '\0');
  int got;
  while ((got = gzread(file.get(), chunk.data(), static_cast<unsigned>(chunk.size()))) > 0) {
    text.append(chunk, 0, static_cast<size_t>(got));
  }
  if (got < 0) return Status(ErrorKind::InvalidInput, path + " is not a whole gzip file");
  return text;
}

std::string TextOf(const nlohmann::json& line, const char* name) {
  const auto found = line.find(name);
  return found == line.end() || found->is_null() ? std::string() : found->get<std::string>();
}

}  // namespace

Result<History> LoadHistory(const std::string& path) {
  KALAM_ASSIGN_OR_RETURN(const std::string text, ReadGzip(path));
  History history;
  try {
    for (size_t begin = 0; begin < text.size();) {
      const size_t end = text.find('\n', begin);
      const nlohmann::json line = nlohmann::json::parse(text.substr(begin, end - begin));
      Message message;
      message.message_id = line.at("message_id").get<int64_t>();
      message.turn = line.at("turn").get<int64_t>();
      message.user_id = TextOf(line, "user_id");
      message.conversation_id = TextOf(line, "conversation_id");
      message.role = TextOf(line, "role");
      message.content = TextOf(line, "content");
      message.domain = TextOf(line, "domain");
      message.service = TextOf(line, "service");
      message.created_at = TextOf(line, "created_at");
      message.assistant_id = TextOf(line, "assistant_id");
      history.by_user[message.user_id].push_back(history.messages.size());
      history.messages.push_back(std::move(message));
      begin = end == std::string::npos ? text.size() : end + 1;
    }
  } catch (const nlohmann::json::exception& error) {
    return Status(ErrorKind::InvalidInput, path + ": " + error.what());
  }
  return history;
}

}  // namespace kalam::demo
