#include "pgfed/net/failure.hpp"

#include <algorithm>
#include <array>

namespace pgfed::net {

using core::FailureKind;
using core::Stage;

namespace {

bool contains(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
}

std::string_view first_line(std::string_view text) {
  const std::size_t start = text.find_first_not_of("\n\r\t ");
  if (start == std::string_view::npos) return {};
  text.remove_prefix(start);
  text = text.substr(0, text.find('\n'));
  while (!text.empty() && (text.back() == '\r' || text.back() == ' ')) text.remove_suffix(1);
  return text;
}

std::string_view field(const PGresult* result, int code) {
  const char* text = PQresultErrorField(result, code);
  return text == nullptr ? std::string_view() : std::string_view(text);
}

/// What follows the last "connection to server at "host" (address), port N failed: "; every address
/// that was tried in vain has left one.
std::string_view last_address(std::string_view text) {
  constexpr std::string_view kPrefix = "connection to server at \"";
  constexpr std::string_view kEnd = " failed: ";
  // At the beginning of a line only: a server may quote it in its own message.
  std::size_t start = std::string_view::npos;
  for (std::size_t at = text.find(kPrefix); at != std::string_view::npos;
       at = text.find(kPrefix, at + 1)) {
    if (at == 0 || text[at - 1] == '\n') start = at;
  }
  if (start == std::string_view::npos) return text;
  const std::size_t end = text.find(kEnd, start + kPrefix.size());
  return end == std::string_view::npos ? text : text.substr(end + kEnd.size());
}

bool is_sqlstate(std::string_view text) {
  return text.size() == 5 && std::all_of(text.begin(), text.end(), [](char c) {
           return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z');
         });
}

/// Signs that a connection broke, rather than that something was wrong with what was said on it.
bool speaks_of_network(std::string_view message) {
  constexpr std::array<std::string_view, 13> kSigns = {
      "closed the connection unexpectedly",
      "could not receive data from server",
      "could not send data to server",
      "could not send startup packet",
      "could not send SSL negotiation packet",
      "SSL SYSCALL error",
      "SSL connection has been closed unexpectedly",
      "unexpected eof",
      "EOF detected",
      "Connection reset",
      "Connection timed out",
      "No route to host",
      "Broken pipe",
  };
  return std::any_of(kSigns.begin(), kSigns.end(),
                     [&](std::string_view sign) { return contains(message, sign); });
}

FailureKind login_kind(std::string_view sqlstate) {
  if (sqlstate == "53300") return FailureKind::crowded;
  if (sqlstate == "57P03") return FailureKind::starting;
  if (sqlstate == "57P01" || sqlstate == "57P02") return FailureKind::network;
  // Authorisation; no such database; no CONNECT privilege; a database that takes no connections.
  if (sqlstate.starts_with("28") || sqlstate == "3D000" || sqlstate == "42501" ||
      sqlstate == "55000") {
    return FailureKind::rejected;
  }
  return FailureKind::query;
}

FailureKind query_kind(std::string_view sqlstate) {
  if (sqlstate == "42501") return FailureKind::not_permitted;
  // Not preloaded; no such function; no such schema; the library's file is missing.
  if (sqlstate == "55000" || sqlstate == "42883" || sqlstate == "3F000" || sqlstate == "58P01") {
    return FailureKind::not_loaded;
  }
  if (sqlstate == "57P03") return FailureKind::starting;
  if (sqlstate == "57P01" || sqlstate == "57P02") return FailureKind::network;
  return FailureKind::query;
}

/// A dial that broke off while it logged in, without an error from the server.
FailureKind silent_login_kind(std::string_view message) {
  if (speaks_of_network(message)) return FailureKind::network;
  // The server wants a password and we have none, or a method that we do not do.
  constexpr std::array<std::string_view, 5> kUnwilling = {
      "fe_sendauth:", "authentication method", "channel binding", "GSSAPI", "SASL authentication",
  };
  if (std::any_of(kUnwilling.begin(), kUnwilling.end(),
                  [&](std::string_view sign) { return contains(message, sign); })) {
    return FailureKind::rejected;
  }
  return FailureKind::protocol;
}

}  // namespace

core::Failure make_failure(Stage stage, FailureKind kind, std::string_view message,
                           std::string_view sqlstate) {
  core::Failure failure;
  failure.stage = stage;
  failure.kind = kind;
  failure.sqlstate = sqlstate;
  failure.message = message;
  return failure;
}

ConnectError parse_connect_error(std::string_view text) {
  const std::string_view last = first_line(last_address(text));
  // "FATAL:  53300: sorry, too many clients already"
  constexpr std::string_view kAfterSeverity = ":  ";
  constexpr std::size_t kStateLength = 5;
  const std::size_t severity = last.find(kAfterSeverity);
  if (severity != std::string_view::npos) {
    const std::string_view rest = last.substr(severity + kAfterSeverity.size());
    const std::string_view state = rest.substr(0, kStateLength);
    if (is_sqlstate(state) && rest.substr(kStateLength).starts_with(": ")) {
      return {.sqlstate = std::string(state),
              .message = std::string(rest.substr(kStateLength + 2))};
    }
  }
  return {.sqlstate = {}, .message = std::string(last)};
}

core::Failure connect_failure(Stage stage, std::string_view text) {
  const ConnectError error = parse_connect_error(text);
  if (!error.sqlstate.empty()) {
    return make_failure(Stage::authenticate, login_kind(error.sqlstate), error.message,
                        error.sqlstate);
  }
  switch (stage) {
    case Stage::tls:
      if (speaks_of_network(error.message)) {
        return make_failure(Stage::tls, FailureKind::network, error.message);
      }
      if (contains(error.message, "invalid response to SSL negotiation")) {
        return make_failure(Stage::tls, FailureKind::protocol, error.message);
      }
      return make_failure(Stage::tls, FailureKind::tls, error.message);
    case Stage::authenticate:
      // In TLS 1.3 a server refuses a certificate after the client believes itself connected.
      if (contains(error.message, "SSL error:")) {
        return make_failure(Stage::tls, FailureKind::tls, error.message);
      }
      return make_failure(Stage::authenticate, silent_login_kind(error.message), error.message);
    default:
      // Also what libpq refuses before it opens a socket, such as a sslmode that does not exist.
      if (contains(error.message, "ssl") || contains(error.message, "SSL") ||
          contains(error.message, "certificate")) {
        return make_failure(Stage::tls, FailureKind::tls, error.message);
      }
      return make_failure(Stage::connect, FailureKind::network, error.message);
  }
}

core::Failure query_failure(const PGresult* result) {
  const std::string_view sqlstate = field(result, PG_DIAG_SQLSTATE);
  const std::string_view message = field(result, PG_DIAG_MESSAGE_PRIMARY);
  if (!sqlstate.empty()) {
    return make_failure(Stage::query, query_kind(sqlstate), first_line(message), sqlstate);
  }
  return lost_failure(message.empty() ? PQresultErrorMessage(result) : message);
}

core::Failure lost_failure(std::string_view text) {
  const std::string_view message = first_line(text);
  if (message.empty()) {
    return make_failure(Stage::query, FailureKind::network, "connection to server was lost");
  }
  // What libpq says where the bytes make no sense to it.
  constexpr std::array<std::string_view, 8> kNonsense = {
      "lost synchronization", "message contents do not agree", "unexpected response",
      "insufficient data",    "unexpected field count",        "extraneous data",
      "invalid message",      "unexpected character",
  };
  const bool nonsense = std::any_of(kNonsense.begin(), kNonsense.end(),
                                    [&](std::string_view sign) { return contains(message, sign); });
  return make_failure(Stage::query, nonsense ? FailureKind::protocol : FailureKind::network,
                      message);
}

core::Failure ended_failure(std::string_view sqlstate, std::string_view message) {
  const FailureKind kind =
      query_kind(sqlstate) == FailureKind::starting ? FailureKind::starting : FailureKind::network;
  return make_failure(Stage::query, kind, first_line(message), sqlstate);
}

}  // namespace pgfed::net
