// libcurl, loaded with the first request: it brings thirty libraries along, which a server without
// remote storages need not map.
#pragma once

#include <curl/curl.h>

#include "base/status.h"

namespace kalam::objects {

/// The functions of libcurl that are used here.
struct CurlFunctions {
  decltype(&curl_easy_init) easy_init = nullptr;
  decltype(&curl_easy_cleanup) easy_cleanup = nullptr;
  decltype(&curl_easy_reset) easy_reset = nullptr;
  decltype(&::curl_easy_setopt) easy_setopt = nullptr;
  decltype(&::curl_easy_getinfo) easy_getinfo = nullptr;
  decltype(&curl_easy_perform) easy_perform = nullptr;
  decltype(&curl_easy_strerror) easy_strerror = nullptr;
  decltype(&curl_slist_append) slist_append = nullptr;
  decltype(&curl_slist_free_all) slist_free_all = nullptr;
  decltype(&curl_getdate) getdate = nullptr;
};

/// Loads and initialises the library once. Errors: NotAvailable, naming the library. Thread-safety:
/// any thread.
Status LoadCurl();
/// After LoadCurl was ok.
const CurlFunctions& Curl();

}  // namespace kalam::objects
