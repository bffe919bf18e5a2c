// The facts that the build wrote down (cmake/build_facts.cmake).
#include "base/build_facts.h"

#include "kalam_build_facts.h"

namespace kalam {

const BuildFacts& ThisBuild() {
  static constexpr BuildFacts kFacts{KALAM_VERSION, KALAM_BUILD_DATE, KALAM_COMMIT, KALAM_BRANCH};
  return kFacts;
}

}  // namespace kalam
