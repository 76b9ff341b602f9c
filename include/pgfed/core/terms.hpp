#pragma once

#include <array>
#include <cstdint>
#include <string_view>

/// The words of the SQL surface: each enumeration is a column's vocabulary, and word() prints it.
/// Numbers of those that travel (Role, State, Mode, Identity, Stage) are part of the wire format:
/// append, never renumber.
namespace pgfed::core {

enum class Role : std::uint8_t { unknown = 0, primary = 1, standby = 2 };

/// pgfed.federation.state. `running` is a primary; `not_streaming` a standby without a stream;
/// `no_pgfed` answers, but pgfed is not loaded there.
enum class State : std::uint8_t {
  unknown = 0,
  running = 1,
  streaming = 2,
  catchup = 3,
  starting = 4,
  not_streaming = 5,
  unreachable = 6,
  wrong_system = 7,
  no_pgfed = 8,
};

enum class Status : std::uint8_t { ok = 0, warning = 1, critical = 2, unknown = 3 };

/// pgfed.mode.
enum class Mode : std::uint8_t { active = 0, observe = 1, off = 2 };

/// How far this node has come in making sure that it is the node whose name it carries.
enum class Identity : std::uint8_t {
  checking = 0,    ///< its own endpoint is being dialled; nobody else is
  observing = 1,   ///< its own endpoint cannot be reached from here; peers have not settled it yet
  confirmed = 2,   ///< its own endpoint, or a peer that dialled it, reached this very process
  quarantine = 3,  ///< another server answers at its endpoint: it dials nobody else
};

/// Where the last attempt of a session failed.
enum class Stage : std::uint8_t { none = 0, resolve, connect, tls, authenticate, query };

/// pgfed.peers.state.
enum class SessionState : std::uint8_t { idle = 0, connecting, connected, failed };

/// What kind of failure a session met: decides the node's state; the text says the rest.
enum class FailureKind : std::uint8_t {
  none = 0,
  network,        ///< refused, reset, closed, timed out, not resolved
  tls,            ///< handshake or verification failed
  rejected,       ///< the server is alive and refused the login (class 28)
  crowded,        ///< the server is alive, out of connections (53300)
  starting,       ///< the server is alive, not accepting connections now (57P03)
  not_loaded,     ///< answers, but pgfed is not preloaded or not installed there
  not_permitted,  ///< answers, but this role may not call pgfed.exchange (42501)
  query,          ///< answers with another error
  protocol,       ///< answers, but not as a pgfed of this protocol does (garbage, too large)
  other_system,   ///< answers for another cluster or federation
  other_node,     ///< answers under another node's name
};

/// True where the failure itself proves that a Postgres server is running there.
constexpr bool proves_alive(FailureKind kind) {
  return kind == FailureKind::rejected || kind == FailureKind::crowded ||
         kind == FailureKind::starting || kind == FailureKind::not_loaded ||
         kind == FailureKind::not_permitted || kind == FailureKind::query;
}

enum class Severity : std::uint8_t { info = 0, warning, critical };

namespace detail {
template <typename Enum, std::size_t N>
constexpr std::string_view lookup(const std::array<std::string_view, N>& words, Enum value) {
  const auto index = static_cast<std::size_t>(value);
  return index < N ? words[index] : std::string_view("unknown");
}
}  // namespace detail

constexpr std::string_view word(Role value) {
  return detail::lookup(std::array<std::string_view, 3>{"unknown", "primary", "standby"}, value);
}
constexpr std::string_view word(State value) {
  return detail::lookup(
      std::array<std::string_view, 9>{"unknown", "running", "streaming", "catchup", "starting",
                                      "not_streaming", "unreachable", "wrong_system", "no_pgfed"},
      value);
}
constexpr std::string_view word(Status value) {
  return detail::lookup(std::array<std::string_view, 4>{"ok", "warning", "critical", "unknown"},
                        value);
}
constexpr std::string_view word(Mode value) {
  return detail::lookup(std::array<std::string_view, 3>{"active", "observe", "off"}, value);
}
constexpr std::string_view word(Identity value) {
  return detail::lookup(
      std::array<std::string_view, 4>{"checking", "observing", "confirmed", "quarantine"}, value);
}
constexpr std::string_view word(Stage value) {
  return detail::lookup(
      std::array<std::string_view, 6>{"none", "resolve", "connect", "tls", "authenticate", "query"},
      value);
}
constexpr std::string_view word(SessionState value) {
  return detail::lookup(
      std::array<std::string_view, 4>{"idle", "connecting", "connected", "failed"}, value);
}
constexpr std::string_view word(Severity value) {
  return detail::lookup(std::array<std::string_view, 3>{"info", "warning", "critical"}, value);
}

}  // namespace pgfed::core
