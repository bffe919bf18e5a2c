// Errors as values: Status and Result<T>, the only way a failure travels between functions of ours.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>

namespace kalam {

/// The kind of a failure; see errors.def for wire code, HTTP status and advice of each.
enum class ErrorKind : uint8_t {
  Ok = 0,
#define KALAM_ERROR(name, number, wire, http, prefix, redaction, retry, who) name = number,
#include "base/errors.def"
#undef KALAM_ERROR
};

/// What errors.def says of one kind.
struct ErrorTraits {
  std::string_view name;
  std::string_view wire_code;
  int http_status;
  std::string_view prefix;
  bool redact;
};

/// Returns the row of errors.def for `kind`; `Ok` has an empty wire code and HTTP status 200.
const ErrorTraits& TraitsOf(ErrorKind kind);

/// Success, or one failure with its kind and a message that says what happened and what to do.
/// One pointer wide; success allocates nothing. Thread-safety: like a value.
class [[nodiscard]] Status {
 public:
  Status() = default;
  Status(ErrorKind kind, std::string message);
  Status(const Status& other);
  Status& operator=(const Status& other);
  Status(Status&&) noexcept = default;
  Status& operator=(Status&&) noexcept = default;
  ~Status() = default;

  static Status Ok() { return {}; }

  bool ok() const { return rep_ == nullptr; }
  ErrorKind kind() const { return rep_ ? rep_->kind : ErrorKind::Ok; }
  bool Is(ErrorKind kind) const { return this->kind() == kind; }
  /// The text without the kind's prefix. Empty when ok.
  const std::string& message() const;
  /// The text that a client sees: the kind's prefix (errors.def), then the message.
  std::string ToString() const;
  /// Byte offset (0-based) of the error in the SQL text, or -1.
  int position() const { return rep_ ? rep_->position : -1; }
  Status&& WithPosition(int position) &&;
  /// Puts `context` and ": " before the message; does nothing when ok.
  Status&& WithContext(std::string_view context) &&;

 private:
  struct Rep {
    ErrorKind kind;
    int position = -1;
    std::string message;
  };
  std::unique_ptr<Rep> rep_;
};

/// A T, or the Status that says why there is none (never an ok Status).
template <typename T>
class [[nodiscard]] Result {
 public:
  Result(T value)
      : state_(std::in_place_index<1>, std::move(value)) {}  // NOLINT: implicit by design
  Result(Status status) : state_(std::in_place_index<0>, std::move(status)) {}  // NOLINT

  bool ok() const { return state_.index() == 1; }
  const Status& status() const& {
    static const Status kOk;
    return ok() ? kOk : std::get<0>(state_);
  }
  Status status() && { return ok() ? Status() : std::get<0>(std::move(state_)); }

  T& value() & { return std::get<1>(state_); }
  const T& value() const& { return std::get<1>(state_); }
  T&& value() && { return std::get<1>(std::move(state_)); }
  T& operator*() & { return value(); }
  const T& operator*() const& { return value(); }
  T&& operator*() && { return std::move(*this).value(); }
  T* operator->() { return &value(); }
  const T* operator->() const { return &value(); }

 private:
  std::variant<Status, T> state_;
};

}  // namespace kalam

#define KALAM_CONCAT_INNER(a, b) a##b
#define KALAM_CONCAT(a, b) KALAM_CONCAT_INNER(a, b)

/// Returns from the enclosing function when `expr` (a Status) is a failure.
#define KALAM_RETURN_IF_ERROR(expr)                \
  do {                                             \
    ::kalam::Status kalam_status_ = (expr);        \
    if (!kalam_status_.ok()) return kalam_status_; \
  } while (false)

/// `KALAM_ASSIGN_OR_RETURN(auto x, F())`: binds the value, or returns the failure. Two plain
/// statements, so it must stand in a block of its own braces.
#define KALAM_ASSIGN_OR_RETURN(decl, expr) \
  KALAM_ASSIGN_OR_RETURN_INNER(KALAM_CONCAT(kalam_result_, __LINE__), decl, expr)
#define KALAM_ASSIGN_OR_RETURN_INNER(result, decl, expr) \
  auto result = (expr);                                  \
  if (!result.ok()) return std::move(result).status();   \
  decl = std::move(result).value()
