#pragma once

#include <string>
#include <utility>
#include <variant>

namespace pgfed::core {

/// An error as Postgres reports one. `sqlstate` has five characters; `message` starts in lower case
/// and has no full stop, `detail` and `hint` are sentences or empty.
struct Error {
  std::string sqlstate;
  std::string message;
  std::string detail;
  std::string hint;
};

/// A value or the error that stands in its place (std::expected is not in g++ 12).
template <typename T>
class Result {
 public:
  Result(T value) : content_(std::move(value)) {}      // NOLINT(google-explicit-constructor)
  Result(Error error) : content_(std::move(error)) {}  // NOLINT(google-explicit-constructor)

  [[nodiscard]] bool ok() const { return content_.index() == 0; }
  explicit operator bool() const { return ok(); }
  [[nodiscard]] T& value() { return std::get<0>(content_); }
  [[nodiscard]] const T& value() const { return std::get<0>(content_); }
  [[nodiscard]] const Error& error() const { return std::get<1>(content_); }

 private:
  std::variant<T, Error> content_;
};

/// Success without a value.
struct Done {};
using Outcome = Result<Done>;

namespace sqlstate {
inline constexpr const char* kInvalidParameterValue = "22023";
inline constexpr const char* kInvalidName = "42602";
inline constexpr const char* kDuplicateObject = "42710";
inline constexpr const char* kUndefinedObject = "42704";
inline constexpr const char* kObjectInUse = "55006";
inline constexpr const char* kNotInPrerequisiteState = "55000";
inline constexpr const char* kProgramLimitExceeded = "54000";
inline constexpr const char* kInsufficientPrivilege = "42501";
inline constexpr const char* kReadOnly = "25006";
inline constexpr const char* kProtocolViolation = "08P01";
inline constexpr const char* kNullNotAllowed = "22004";
}  // namespace sqlstate

}  // namespace pgfed::core
