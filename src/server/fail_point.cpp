// KALAMDB_END_AT and KALAMDB_HOLD_AT.
#include "server/fail_point.h"

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <memory>
#include <string>

#include "base/file_descriptor.h"

namespace kalam::server {
namespace {

constexpr int kExitAtFailPoint = 86;

/// A step that a variable names, and how often it is passed before it counts.
class NamedStep {
 public:
  explicit NamedStep(const char* variable) {
    const char* value = std::getenv(variable);
    if (value == nullptr) return;
    const std::string text = value;
    const size_t colon = text.find(':');
    step_ = text.substr(0, colon);
    if (colon != text.npos) left_ = std::atoi(text.c_str() + colon + 1);
  }
  bool is_set() const { return !step_.empty(); }
  bool IsReached(std::string_view step) { return step == step_ && left_.fetch_sub(1) <= 0; }

 private:
  std::string step_;
  std::atomic<int> left_ = 0;
};

/// The pipe has no end of its own that is read, so that nobody waits without a reader.
void WaitForReader(const std::string& pipe) {
  const FileDescriptor file(::open(pipe.c_str(), O_WRONLY | O_NONBLOCK | O_CLOEXEC));
  if (file.get() < 0 || ::write(file.get(), "!", 1) != 1) return;
  // POLLERR, which needs not be asked for, says that the reader is gone.
  pollfd waited{.fd = file.get(), .events = 0, .revents = 0};
  while (::poll(&waited, 1, -1) < 0 && errno == EINTR) {
  }
}

}  // namespace

FailPoint FailPointOfTest() {
  auto end = std::make_shared<NamedStep>("KALAMDB_END_AT");
  auto hold = std::make_shared<NamedStep>("KALAMDB_HOLD_AT");
  if (!end->is_set() && !hold->is_set()) return {};
  const char* pipe = std::getenv("KALAMDB_HOLD_PIPE");
  return [end, hold, pipe = std::string(pipe == nullptr ? "" : pipe)](std::string_view step) {
    if (end->IsReached(step)) _exit(kExitAtFailPoint);
    if (hold->IsReached(step)) WaitForReader(pipe);
  };
}

}  // namespace kalam::server
