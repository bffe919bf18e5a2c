# Compiler and linker flags that every target of ours shares.
add_library(kalam_flags INTERFACE)
target_compile_options(kalam_flags INTERFACE
  -Wall -Wextra -Wpedantic -Werror -Wshadow -Wnon-virtual-dtor -Woverloaded-virtual -Wimplicit-fallthrough
  -Wno-gnu-zero-variadic-macro-arguments -Wno-missing-field-initializers
  -ffunction-sections -fdata-sections -fno-omit-frame-pointer)
# Identical functions are folded in what ships: text that is not there is not resident either.
target_link_options(kalam_flags INTERFACE -fuse-ld=lld-16 -Wl,--gc-sections
  $<$<CONFIG:Release>:-Wl,--icf=safe> $<$<CONFIG:Release>:-Wl,-O2>)
if(KALAM_SANITIZE)
  target_compile_options(kalam_flags INTERFACE -fsanitize=${KALAM_SANITIZE} -fno-sanitize-recover=all)
  target_link_options(kalam_flags INTERFACE -fsanitize=${KALAM_SANITIZE})
  target_compile_definitions(kalam_flags INTERFACE KALAM_SANITIZED=1)
endif()
