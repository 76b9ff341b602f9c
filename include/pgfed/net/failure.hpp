#pragma once

#include <libpq-fe.h>

#include <string>
#include <string_view>

#include "pgfed/core/event.hpp"

/// What libpq says of a failure, put into the words of the core. Messages are the primary message
/// alone, on one line: the columns beside it say who, where and in which stage.
namespace pgfed::net {

/// What a failed PQconnectPoll leaves behind: the message of the last address tried.
struct ConnectError {
  std::string sqlstate;  ///< empty where the server did not say one
  std::string message;
};

/// Takes PQerrorMessage of a connection attempt apart. Expects what libpq writes in the C locale
/// (see PlainMessages) with PQERRORS_VERBOSE, which is how the SQLSTATE gets into it; the severity
/// may be in any language.
ConnectError parse_connect_error(std::string_view text);

/// A dial that libpq gave up in this stage. The failure may name another one, where the text shows
/// that it does: what a server says of the client's certificate comes after the handshake.
core::Failure connect_failure(core::Stage stage, std::string_view text);

/// A query that failed: an error that the server sent, or a result that libpq made up.
core::Failure query_failure(const PGresult* result);

/// A session that broke while it stood; `text` is PQerrorMessage.
core::Failure lost_failure(std::string_view text);

/// A standing session that the server ended with a FATAL error.
core::Failure ended_failure(std::string_view sqlstate, std::string_view message);

core::Failure make_failure(core::Stage stage, core::FailureKind kind, std::string_view message,
                           std::string_view sqlstate = {});

}  // namespace pgfed::net
