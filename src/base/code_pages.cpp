// Walks the segments that the dynamic loader has mapped.
#include "base/code_pages.h"

#include <link.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>

namespace kalam {

void UnmapIdleCode() {
  const auto unmap = [](dl_phdr_info* object, size_t, void*) {
    const auto page_bytes = static_cast<uintptr_t>(sysconf(_SC_PAGESIZE));
    for (int i = 0; i < object->dlpi_phnum; ++i) {
      const ElfW(Phdr)& segment = object->dlpi_phdr[i];
      // What can be written may have been, and would come back as it was in the file.
      if (segment.p_type != PT_LOAD || (segment.p_flags & PF_X) == 0 ||
          (segment.p_flags & PF_W) != 0) {
        continue;
      }
      const uintptr_t begin = (object->dlpi_addr + segment.p_vaddr) & ~(page_bytes - 1);
      const uintptr_t end = object->dlpi_addr + segment.p_vaddr + segment.p_memsz;
      // The kernel's own object is refused; there is nothing to be had there.
      madvise(reinterpret_cast<void*>(begin), end - begin, MADV_DONTNEED);
    }
    return 0;
  };
  dl_iterate_phdr(unmap, nullptr);
}

}  // namespace kalam
