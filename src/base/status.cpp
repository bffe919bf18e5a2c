// Status and the table of error kinds.
#include "base/status.h"

namespace kalam {
namespace {

constexpr bool kRedact = true;
constexpr bool kKeep = false;

}  // namespace

const ErrorTraits& TraitsOf(ErrorKind kind) {
  static constexpr ErrorTraits kOk{"Ok", "", 200, "", false};
  switch (kind) {
    case ErrorKind::Ok:
      return kOk;
#define KALAM_ERROR(name, number, wire, http, prefix, redaction, retry, who)       \
  case ErrorKind::name: {                                                          \
    static constexpr ErrorTraits kTraits{#name, wire, http, prefix, k##redaction}; \
    return kTraits;                                                                \
  }
#include "base/errors.def"
#undef KALAM_ERROR
  }
  return kOk;
}

Status::Status(ErrorKind kind, std::string message)
    : rep_(kind == ErrorKind::Ok ? nullptr
                                 : std::make_unique<Rep>(Rep{kind, -1, std::move(message)})) {}

Status::Status(const Status& other)
    : rep_(other.rep_ ? std::make_unique<Rep>(*other.rep_) : nullptr) {}

Status& Status::operator=(const Status& other) {
  if (this != &other) rep_ = other.rep_ ? std::make_unique<Rep>(*other.rep_) : nullptr;
  return *this;
}

const std::string& Status::message() const {
  static const std::string kEmpty;
  return rep_ ? rep_->message : kEmpty;
}

std::string Status::ToString() const {
  if (ok()) return "ok";
  std::string text(TraitsOf(rep_->kind).prefix);
  text += rep_->message;
  return text;
}

Status&& Status::WithPosition(int position) && {
  if (rep_) rep_->position = position;
  return std::move(*this);
}

Status&& Status::WithContext(std::string_view context) && {
  if (rep_) rep_->message = std::string(context) + ": " + rep_->message;
  return std::move(*this);
}

}  // namespace kalam
