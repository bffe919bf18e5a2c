// Asking jemalloc, when it is there, for its profile.
#include "base/heap_profile.h"

#include <dlfcn.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstring>

#include "base/allocator_control.h"
#include "base/file_descriptor.h"

namespace kalam {

AllocatorControl::AllocatorControl()
    : call_(reinterpret_cast<Call>(dlsym(RTLD_DEFAULT, "mallctl"))) {}

Result<std::string> ReadHeapProfile() {
  const AllocatorControl control;
  if (!control.Read<bool>("opt.prof").value_or(false)) {
    return Status(ErrorKind::NotAvailable,
                  "This server's allocator keeps no heap profile; start the server with "
                  "LD_PRELOAD=libjemalloc.so.2 MALLOC_CONF=prof:true (KALAM_HEAP_PROFILE=1 make "
                  "run does that)");
  }
  // It writes to a path. A file in memory leaves nothing behind and needs no room on a disk.
  const FileDescriptor file(memfd_create("heap-profile", MFD_CLOEXEC));
  const std::string path = "/proc/self/fd/" + std::to_string(file.get());
  if (file.get() < 0 || !control.Write("prof.dump", path.c_str()))
    return Status(ErrorKind::StorageIo, "The heap profile cannot be written");
  struct stat facts {};
  if (fstat(file.get(), &facts) != 0)
    return Status(ErrorKind::StorageIo, std::string("fstat: ") + strerror(errno));
  std::string profile(static_cast<size_t>(facts.st_size), '\0');
  const ssize_t got = pread(file.get(), profile.data(), profile.size(), 0);
  if (got != facts.st_size)
    return Status(ErrorKind::StorageIo,
                  std::string("reading the heap profile: ") + strerror(errno));
  return profile;
}

}  // namespace kalam
