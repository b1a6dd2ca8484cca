// Result<T>: how every fallible function below native/binding/ reports failure. There are no
// exceptions in this code base (node-addon-api is built without them), so an error is a value that
// the caller cannot overlook.
#pragma once

#include <cassert>
#include <cerrno>
#include <string>
#include <string_view>
#include <utility>
#include <variant>

namespace vmentry {

// What went wrong, in Node's terms. `code` is a stable string: an errno name is derived in JS when
// `code` is empty, otherwise it is one of the ERR_* codes of types/native.d.ts.
struct Error {
  int errno_value = 0;  // positive errno, 0 where no system call failed
  std::string code;     // "ERR_DISK_HEADER", … ; empty: a plain system error
  std::string syscall;  // the C function or ioctl: "openat", "security_compute_av", …
  std::string path;     // the object, where it has a path
  std::string message;  // what happened and what to do about it, one sentence
  int fd = -1;          // the object, where it only has a descriptor

  static Error System(std::string_view syscall, int errno_value, std::string_view path = {}) {
    Error e;
    e.errno_value = errno_value;
    e.syscall = syscall;
    e.path = path;
    return e;
  }
  static Error Coded(std::string_view code, std::string_view message, std::string_view path = {}) {
    Error e;
    e.code = code;
    e.message = message;
    e.path = path;
    return e;
  }
};

struct Unit {};

template <typename T>
class [[nodiscard]] Result {
 public:
  Result(T value) : state_(std::in_place_index<0>, std::move(value)) {}      // NOLINT: implicit
  Result(Error error) : state_(std::in_place_index<1>, std::move(error)) {}  // NOLINT: implicit

  bool ok() const { return state_.index() == 0; }
  explicit operator bool() const { return ok(); }

  T& value() & {
    assert(ok());
    return *std::get_if<0>(&state_);
  }
  const T& value() const& {
    assert(ok());
    return *std::get_if<0>(&state_);
  }
  T&& value() && {
    assert(ok());
    return std::move(*std::get_if<0>(&state_));
  }
  Error& error() & {
    assert(!ok());
    return *std::get_if<1>(&state_);
  }
  const Error& error() const& {
    assert(!ok());
    return *std::get_if<1>(&state_);
  }
  Error&& error() && {
    assert(!ok());
    return std::move(*std::get_if<1>(&state_));
  }

 private:
  std::variant<T, Error> state_;
};

using Status = Result<Unit>;
inline Status Ok() { return Status(Unit{}); }

}  // namespace vmentry

// Evaluates `expr` (a Result); returns its error from the enclosing function, or binds its value.
#define VMENTRY_CONCAT_(a, b) a##b
#define VMENTRY_CONCAT(a, b) VMENTRY_CONCAT_(a, b)
#define VMENTRY_TRY(decl, expr)                                                                             \
  auto VMENTRY_CONCAT(result_, __LINE__) = (expr);                                                          \
  if (!VMENTRY_CONCAT(result_, __LINE__).ok()) return std::move(VMENTRY_CONCAT(result_, __LINE__)).error(); \
  decl = std::move(VMENTRY_CONCAT(result_, __LINE__)).value()
#define VMENTRY_CHECK(expr)                                             \
  do {                                                                  \
    auto vmentry_status = (expr);                                       \
    if (!vmentry_status.ok()) return std::move(vmentry_status).error(); \
  } while (0)
