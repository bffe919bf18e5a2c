# Writes kalam_build_facts.h; run at every build, touches the file only when something changed. The day is enough of a
# date: a build of the same day does not compile anything anew. SOURCE_DATE_EPOCH is honoured by string(TIMESTAMP).
function(ask_git variable)
  execute_process(COMMAND git -C "${SOURCE}" ${ARGN} OUTPUT_VARIABLE answer RESULT_VARIABLE failed
                  OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
  if(failed OR NOT answer MATCHES "^[A-Za-z0-9._/+-]+$")
    set(answer unknown)
  endif()
  set(${variable} "${answer}" PARENT_SCOPE)
endfunction()

ask_git(commit rev-parse --short HEAD)
ask_git(branch rev-parse --abbrev-ref HEAD)
string(TIMESTAMP date "%Y-%m-%d" UTC)
file(CONFIGURE OUTPUT "${HEADER}" CONTENT [[// What this build was made from; written by cmake/build_facts.cmake.
#define KALAM_VERSION "@VERSION@"
#define KALAM_BUILD_DATE "@date@"
#define KALAM_COMMIT "@commit@"
#define KALAM_BRANCH "@branch@"
]] @ONLY)
