#pragma once

#include <exception>
#include <new>
#include <string_view>
#include <type_traits>
#include <utility>

#include "pgfed/core/result.hpp"
#include "pgfed/core/text.hpp"
#include "pgfed/pg/postgres_api.hpp"

/// The only crossing between the two regimes of src/pg (see the architecture): C++ code may throw
/// and owns what it destroys; Postgres code may longjmp and owns nothing that needs a destructor.
namespace pgfed::pg {

/// An error boxed in a fixed buffer, so that it outlives the C++ scope and is reported after it.
struct BoxedError {
  bool raised = false;
  core::Text<6> sqlstate;
  core::Text<512> message;
  core::Text<512> detail;
  core::Text<512> hint;

  void set(const core::Error& error) {
    raised = true;
    sqlstate = core::Text<6>(error.sqlstate);
    message = core::Text<512>(error.message);
    detail = core::Text<512>(error.detail);
    hint = core::Text<512>(error.hint);
  }
};

/// Runs `body` (C++ regime: calls nothing of Postgres) and boxes whatever it throws. `body` may box
/// an error of its own by error.set().
template <typename Body>
void run_cpp(BoxedError& error, Body&& body) noexcept {
  try {
    std::forward<Body>(body)(error);
  } catch (const std::bad_alloc&) {
    error.raised = true;
    error.sqlstate = core::Text<6>("53200");
    error.message = core::Text<512>("out of memory");
  } catch (const std::exception& exception) {
    error.raised = true;
    error.sqlstate = core::Text<6>("XX000");
    error.message = core::Text<512>(exception.what());
  } catch (...) {
    error.raised = true;
    error.sqlstate = core::Text<6>("XX000");
    error.message = core::Text<512>("unknown C++ exception");
  }
}

/// A palloc'd copy of a text of the core (printable UTF-8) for this database: where its encoding is
/// another one, each byte beyond ASCII is printed as '?'. Postgres regime.
char* to_database_encoding(std::string_view text);

/// ereport(ERROR) of a boxed error; call it when no C++ object with a destructor is in scope.
[[noreturn]] void raise_boxed(const BoxedError& error);

/// Both in one, for a Postgres-regime caller.
template <typename Body>
void call_cpp(Body&& body) {
  static_assert(std::is_trivially_destructible_v<std::remove_reference_t<Body>>);
  BoxedError error;
  run_cpp(error, std::forward<Body>(body));
  if (error.raised) raise_boxed(error);
}

}  // namespace pgfed::pg
