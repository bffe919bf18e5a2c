// The parts that a build may leave out (CMake: KALAM_WITH_...), as constants.
#pragma once

namespace kalam::server {

inline constexpr bool kWithAnalytics = KALAM_WITH_ANALYTICS;
inline constexpr bool kWithWebSocket = KALAM_WITH_WEBSOCKET;
inline constexpr bool kWithTls = KALAM_WITH_TLS;

}  // namespace kalam::server
