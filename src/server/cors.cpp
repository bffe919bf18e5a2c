// Origin checks.
#include "server/cors.h"

#include <fmt/format.h>

#include <algorithm>

namespace kalam::server {

CorsPolicy::CorsPolicy(const Settings& settings)
    : strict_websocket_(settings.flag("security.strict_ws_origin_check")),
      origins_(settings.list("security.cors.allowed_origins")),
      methods_(fmt::format("{}", fmt::join(settings.list("security.cors.allowed_methods"), ", "))),
      headers_(fmt::format("{}", fmt::join(settings.list("security.cors.allowed_headers"), ", "))),
      exposed_(fmt::format("{}", fmt::join(settings.list("security.cors.expose_headers"), ", "))),
      max_age_s_(settings.number("security.cors.max_age")) {
  any_ = origins_.empty() || std::find(origins_.begin(), origins_.end(), "*") != origins_.end();
  // Cookies for whoever asks would hand them to every page that a signed-in browser visits.
  credentials_ = !any_ && settings.has_section("security.cors") &&
                 settings.flag("security.cors.allow_credentials");
}

bool CorsPolicy::Allows(std::string_view origin) const {
  return any_ || std::find(origins_.begin(), origins_.end(), origin) != origins_.end();
}

std::string CorsPolicy::AnswerHeaders(std::string_view origin) const {
  if (!Allows(origin)) return "Vary: Origin\r\n";
  std::string lines = fmt::format("Access-Control-Allow-Origin: {}\r\nVary: Origin\r\n", origin);
  if (credentials_) lines += "Access-Control-Allow-Credentials: true\r\n";
  if (!exposed_.empty()) lines += fmt::format("Access-Control-Expose-Headers: {}\r\n", exposed_);
  return lines;
}

std::string CorsPolicy::PreflightHeaders() const {
  return fmt::format(
      "Access-Control-Allow-Methods: {}\r\nAccess-Control-Allow-Headers: {}\r\n"
      "Access-Control-Max-Age: {}\r\n",
      methods_, headers_, max_age_s_);
}

std::string_view CorsPolicy::WebSocketProblem(std::string_view origin) const {
  if (origin.empty()) return strict_websocket_ ? "Origin header required" : "";
  return Allows(origin) ? "" : "Origin not allowed";
}

}  // namespace kalam::server
