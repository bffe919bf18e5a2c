// Reading the files that a statement names and building the form.
#include "upload.h"

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "base/id_generators.h"
#include "sql/file_placeholders.h"

namespace kalam::cli {
namespace {

Result<std::string> ReadFile(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::string content;
  if (file && !std::filesystem::is_directory(path)) {
    content.assign(std::istreambuf_iterator<char>(file), {});
    if (!file.bad()) return content;
  }
  return Status(ErrorKind::InvalidInput, "Cannot read the file '" + path + "'");
}

std::string Expand(const std::string& path, const std::string& folder) {
  const char* home = std::getenv("HOME");
  if (path.starts_with("~/") && home != nullptr) return home + path.substr(1);
  return (std::filesystem::path(folder) / path).string();
}

// A name within the quotes of a header.
std::string Quoted(std::string_view name) {
  std::string quoted;
  for (const char c : name) {
    if (c == '"' || c == '\\') quoted += '\\';
    quoted += static_cast<unsigned char>(c) < 0x20 ? '_' : c;
  }
  return quoted;
}

std::string PlaceholderName(size_t index) { return "file" + std::to_string(index + 1); }

}  // namespace

Result<std::optional<UploadForm>> MakeUploadForm(std::string_view sql, const UploadPlaces& places) {
  const std::vector<sql::FilePlaceholder> files = sql::FindLocalFiles(sql);
  if (files.empty()) return std::optional<UploadForm>();
  const std::string boundary = "kalam" + RandomHex(32);
  std::string statement;
  size_t at = 0;
  for (size_t i = 0; i < files.size(); ++i) {
    const auto begin = static_cast<size_t>(files[i].begin);
    statement += sql.substr(at, begin - at);
    statement += "FILE('" + PlaceholderName(i) + "')";
    at = static_cast<size_t>(files[i].end);
  }
  statement += sql.substr(at);

  UploadForm form;
  form.content_type = "multipart/form-data; boundary=" + boundary;
  form.pieces.push_back("--" + boundary +
                        "\r\nContent-Disposition: form-data; name=\"sql\"\r\n\r\n" + statement);
  if (!places.name_space.empty()) {
    form.pieces.push_back("\r\n--" + boundary +
                          "\r\nContent-Disposition: form-data; name=\"namespace_id\"\r\n\r\n" +
                          places.name_space);
  }
  for (size_t i = 0; i < files.size(); ++i) {
    const std::string path = Expand(files[i].name, places.file_folder);
    KALAM_ASSIGN_OR_RETURN(std::string content, ReadFile(path));
    const std::string name = std::filesystem::path(path).filename().string();
    std::string head = "\r\n--" + boundary +
                       "\r\nContent-Disposition: form-data; name=\"file:" + PlaceholderName(i) +
                       "\"; filename=\"" + Quoted(name) + "\"\r\n";
    if (!files[i].media_type.empty())
      head += "Content-Type: " + Quoted(files[i].media_type) + "\r\n";
    form.pieces.push_back(head + "\r\n");
    form.pieces.push_back(std::move(content));
  }
  form.pieces.push_back("\r\n--" + boundary + "--\r\n");
  return std::optional<UploadForm>(std::move(form));
}

}  // namespace kalam::cli
