// Finding libcurl at run time.
#include "objects/curl_library.h"

#include <dlfcn.h>

#include <string>

namespace kalam::objects {
namespace {

constexpr char kLibrary[] = "libcurl.so.4";

struct Loaded {
  Status status;
  CurlFunctions functions;
};

template <typename Function>
void Find(void* library, const char* name, Function* function, Status* status) {
  *function = reinterpret_cast<Function>(dlsym(library, name));
  if (*function == nullptr && status->ok()) {
    *status = Status(ErrorKind::NotAvailable,
                     std::string("remote storages need ") + kLibrary + ", which lacks " + name);
  }
}

// The library stays for good: handles may outlive any owner.
Loaded Load() {
  Loaded loaded;
  void* library = dlopen(kLibrary, RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) {
    loaded.status = Status(ErrorKind::NotAvailable,
                           std::string("remote storages need ") + kLibrary + ": " + dlerror());
    return loaded;
  }
  decltype(&curl_global_init) global_init = nullptr;
  Find(library, "curl_global_init", &global_init, &loaded.status);
  Find(library, "curl_easy_init", &loaded.functions.easy_init, &loaded.status);
  Find(library, "curl_easy_cleanup", &loaded.functions.easy_cleanup, &loaded.status);
  Find(library, "curl_easy_reset", &loaded.functions.easy_reset, &loaded.status);
  Find(library, "curl_easy_setopt", &loaded.functions.easy_setopt, &loaded.status);
  Find(library, "curl_easy_getinfo", &loaded.functions.easy_getinfo, &loaded.status);
  Find(library, "curl_easy_perform", &loaded.functions.easy_perform, &loaded.status);
  Find(library, "curl_easy_strerror", &loaded.functions.easy_strerror, &loaded.status);
  Find(library, "curl_slist_append", &loaded.functions.slist_append, &loaded.status);
  Find(library, "curl_slist_free_all", &loaded.functions.slist_free_all, &loaded.status);
  Find(library, "curl_getdate", &loaded.functions.getdate, &loaded.status);
  if (loaded.status.ok() && global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) {
    loaded.status = Status(ErrorKind::NotAvailable, "libcurl does not start");
  }
  return loaded;
}

const Loaded& Library() {
  static const Loaded loaded = Load();
  return loaded;
}

}  // namespace

Status LoadCurl() { return Library().status; }
const CurlFunctions& Curl() { return Library().functions; }

}  // namespace kalam::objects
