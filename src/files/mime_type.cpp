// See mime_type.h.
#include "files/mime_type.h"

#include <algorithm>
#include <array>
#include <utility>

namespace kalam::files {
namespace {

constexpr std::string_view kUnknown = "application/octet-stream";

constexpr std::pair<std::string_view, std::string_view> kByExtension[] = {
    {"aac", "audio/aac"},
    {"avi", "video/x-msvideo"},
    {"avif", "image/avif"},
    {"bmp", "image/bmp"},
    {"css", "text/css"},
    {"csv", "text/csv"},
    {"doc", "application/msword"},
    {"docx", "application/vnd.openxmlformats-officedocument.wordprocessingml.document"},
    {"flac", "audio/flac"},
    {"gif", "image/gif"},
    {"gz", "application/gzip"},
    {"heic", "image/heic"},
    {"htm", "text/html"},
    {"html", "text/html"},
    {"ico", "image/vnd.microsoft.icon"},
    {"jpeg", "image/jpeg"},
    {"jpg", "image/jpeg"},
    {"js", "text/javascript"},
    {"json", "application/json"},
    {"m4a", "audio/mp4"},
    {"md", "text/markdown"},
    {"mjs", "text/javascript"},
    {"mov", "video/quicktime"},
    {"mp3", "audio/mpeg"},
    {"mp4", "video/mp4"},
    {"ogg", "audio/ogg"},
    {"parquet", "application/vnd.apache.parquet"},
    {"pdf", "application/pdf"},
    {"png", "image/png"},
    {"ppt", "application/vnd.ms-powerpoint"},
    {"pptx", "application/vnd.openxmlformats-officedocument.presentationml.presentation"},
    {"rtf", "application/rtf"},
    {"svg", "image/svg+xml"},
    {"tar", "application/x-tar"},
    {"tif", "image/tiff"},
    {"tiff", "image/tiff"},
    {"txt", "text/plain"},
    {"wav", "audio/wav"},
    {"webm", "video/webm"},
    {"webp", "image/webp"},
    {"xhtml", "application/xhtml+xml"},
    {"xls", "application/vnd.ms-excel"},
    {"xlsx", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"},
    {"xml", "application/xml"},
    {"zip", "application/zip"},
};

std::string Lower(std::string_view text) {
  std::string lower(text);
  for (char& c : lower) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c + 32);
  }
  return lower;
}

std::string_view ByBytes(std::string_view front) {
  using namespace std::string_view_literals;
  if (front.starts_with("\x89PNG\r\n\x1a\n"sv)) return "image/png";
  if (front.starts_with("\xff\xd8\xff"sv)) return "image/jpeg";
  if (front.starts_with("GIF87a"sv) || front.starts_with("GIF89a"sv)) return "image/gif";
  if (front.starts_with("%PDF-"sv)) return "application/pdf";
  if (front.starts_with("PK\x03\x04"sv) || front.starts_with("PK\x05\x06"sv)) {
    return "application/zip";
  }
  if (front.starts_with("RIFF"sv) && front.size() >= 12 && front.substr(8, 4) == "WEBP"sv) {
    return "image/webp";
  }
  return {};
}

bool IsToldByBytes(std::string_view mime) {
  constexpr std::array<std::string_view, 6> kTold = {
      "image/png", "image/jpeg", "image/gif", "application/pdf", "application/zip", "image/webp"};
  return std::find(kTold.begin(), kTold.end(), mime) != kTold.end();
}

// What a browser would run as a page or a script of ours.
bool IsActive(std::string_view mime) {
  return mime.ends_with("html") || mime.ends_with("xml") || mime.ends_with("script") ||
         mime.ends_with("html+xml") || mime.ends_with("/svg");
}

bool IsWellFormed(std::string_view mime) {
  const auto is_token = [](std::string_view text) {
    return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) {
      return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '+' || c == '.' ||
             c == '_';
    });
  };
  const size_t slash = mime.find('/');
  return mime.size() <= 100 && slash != std::string_view::npos && is_token(mime.substr(0, slash)) &&
         is_token(mime.substr(slash + 1));
}

std::string_view ByExtension(std::string_view file_name) {
  const size_t point = file_name.rfind('.');
  if (point == std::string_view::npos) return {};
  const std::string extension = Lower(file_name.substr(point + 1));
  for (const auto& [known, mime] : kByExtension) {
    if (known == extension) return mime;
  }
  return {};
}

}  // namespace

std::string MimeTypeOf(std::string_view front, std::string_view file_name,
                       std::string_view declared) {
  const std::string_view told = ByBytes(front);
  const std::string_view named = ByExtension(file_name);
  // Office documents are zip archives; their name says more.
  if (told == "application/zip" && named.starts_with("application/vnd.")) return std::string(named);
  if (!told.empty()) return std::string(told);
  if (!named.empty()) return std::string(IsToldByBytes(named) ? kUnknown : named);
  std::string claimed = Lower(declared.substr(0, declared.find(';')));
  while (claimed.ends_with(' ')) claimed.pop_back();
  if (!IsWellFormed(claimed) || IsToldByBytes(claimed) || IsActive(claimed)) {
    return std::string(kUnknown);
  }
  return claimed;
}

bool IsAllowedMimeType(std::span<const std::string> allowed, std::string_view mime) {
  if (allowed.empty()) return true;
  return std::any_of(allowed.begin(), allowed.end(), [mime](const std::string& entry) {
    const std::string pattern = Lower(entry);
    if (pattern == "*" || pattern == "*/*") return true;
    if (!pattern.ends_with("/*")) return pattern == mime;
    return mime.starts_with(std::string_view(pattern).substr(0, pattern.size() - 1));
  });
}

bool MayShowInline(std::string_view mime) {
  if (IsActive(mime)) return false;
  return mime.starts_with("image/") || mime.starts_with("audio/") || mime.starts_with("video/") ||
         mime == "text/plain" || mime == "application/pdf";
}

}  // namespace kalam::files
