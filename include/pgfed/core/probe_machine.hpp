#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "pgfed/core/probe.hpp"
#include "pgfed/core/probe_verdict.hpp"
#include "pgfed/core/time.hpp"

namespace pgfed::core {

/// What a probe is asked to look at.
struct ProbeTarget {
  std::string host;  ///< as in pgfed.nodes: asked for by SNI, and looked for in the certificate
  std::uint16_t port = 0;
  Negotiation negotiation = Negotiation::postgres;
  bool sni = true;           ///< sslsni; an address is never announced
  Duration limit{};          ///< for all of it
  std::string control_name;  ///< a name for which no router can have a route
  std::string min_protocol;  ///< that is offered: "TLSv1.2"
  std::string own_problem;   ///< why our own certificate cannot be presented; empty: none
};

/// What the shell of a probe is to do next. A connection that is open when another one is asked for,
/// or the end comes, is closed.
struct ProbeAction {
  enum class Kind : std::uint8_t {
    wait,          ///< for the next event, or the deadline
    resolve,       ///< the host
    connect,       ///< to `address`, anew
    send_request,  ///< SSLRequest
    start_tls,     ///< with ALPN "postgresql", and SNI where `server_name` is not empty
    linger,        ///< send close_notify, and read on for a late alert
    finish,        ///< result() is complete
  };
  Kind kind = Kind::wait;
  std::string address;
  std::string server_name;
};

/// What happened to it.
namespace probe_event {
struct Resolved {
  std::vector<std::string> addresses;
};
struct ResolveFailed {
  std::string text;
};
struct Connected {};
struct ConnectFailed {
  enum class Kind : std::uint8_t { refused, timed_out, unreachable, other };
  Kind kind = Kind::other;
  std::string text;
};
/// Bytes outside TLS.
struct Received {
  std::string bytes;
};
/// The connection is gone, outside TLS.
struct Closed {
  bool reset = false;
};
/// So many bytes of this connection's TLS have come until now, whether they are understood or not.
struct TlsBytes {
  std::uint64_t received = 0;
};
struct TlsDone {
  TlsFacts facts;
};
struct TlsFailed {
  enum class Kind : std::uint8_t { alert, closed, reset, error };
  Kind kind = Kind::error;
  std::uint8_t alert = 0;
  std::string reason;       ///< OpenSSL's words
  std::string first_bytes;  ///< of what came in place of TLS or as TLS; some
  TlsFacts facts;           ///< as far as it got
};
struct LateAlert {
  std::uint8_t alert = 0;
};
/// The session's end, without one.
struct LateEnd {};
/// Time has passed.
struct Tick {};
using Event = std::variant<Resolved, ResolveFailed, Connected, ConnectFailed, Received, Closed,
                           TlsBytes, TlsDone, TlsFailed, LateAlert, LateEnd, Tick>;
}  // namespace probe_event

/// The ladder of a probe, and what its end is called. One that cannot be told from the first
/// connection dials again, a dozen times at most whatever a peer does: a router that wants TLS at
/// once looks like a dead server, and a missing route like an old server.
class ProbeMachine {
 public:
  /// More bytes than that are not awaited of a handshake.
  static constexpr std::uint64_t kHandshakeBudget = 256UL * 1024;
  static constexpr std::size_t kMaxAddresses = 8;

  explicit ProbeMachine(ProbeTarget target);

  /// The first call of all.
  ProbeAction start(Instant now);
  /// An event that does not fit to what is going on is ignored.
  ProbeAction step(const probe_event::Event& event, Instant now);
  /// When a Tick is due.
  [[nodiscard]] Instant deadline() const { return deadline_; }
  [[nodiscard]] bool finished() const { return phase_ == Phase::finished; }
  [[nodiscard]] const ProbeResult& result() const { return result_; }

  /// As libpq has it: names only, so neither digits and dots alone nor anything with a colon.
  static std::string server_name_of(std::string_view host);

 private:
  enum class Phase : std::uint8_t {
    idle,
    resolving,
    connecting,
    asking,   ///< for the answer to the SSLRequest
    reading,  ///< the error in its place
    handshaking,
    lingering,
    finished,
  };
  /// How long a session is listened to that has said goodbye, or a server whose error has begun.
  static constexpr Duration kLinger = seconds(1);
  /// What a connection is there for.
  enum class Purpose : std::uint8_t {
    first,    ///< as the endpoint is written
    hello,    ///< TLS at once, since an SSLRequest came to nothing
    again,    ///< an SSLRequest once more, since TLS at once went well after silence
    request,  ///< an SSLRequest, since TLS at once was closed without a word
    control,  ///< TLS at once for a name without a route, to compare
    repeat,   ///< TLS at once for the endpoint's name again, likewise
  };
  /// What became of the first connection, where that is not the end of it.
  enum class Setback : std::uint8_t { none, silent, closed, alert };

  ProbeAction on(const probe_event::Resolved& event, Instant now);
  ProbeAction on(const probe_event::ResolveFailed& event, Instant now);
  ProbeAction on(const probe_event::Connected& event, Instant now);
  ProbeAction on(const probe_event::ConnectFailed& event, Instant now);
  ProbeAction on(const probe_event::Received& event, Instant now);
  ProbeAction on(const probe_event::Closed& event, Instant now);
  ProbeAction on(const probe_event::TlsBytes& event, Instant now);
  ProbeAction on(const probe_event::TlsDone& event, Instant now);
  ProbeAction on(const probe_event::TlsFailed& event, Instant now);
  ProbeAction on(const probe_event::LateAlert& event, Instant now);
  ProbeAction on(const probe_event::LateEnd& event, Instant now);
  ProbeAction on(const probe_event::Tick& event, Instant now);

  ProbeAction connect_next(Instant now);
  ProbeAction on_no_connection(Instant now);
  ProbeAction dial_again(Purpose purpose, Instant now);
  ProbeAction begin_request(Instant now);
  ProbeAction begin_tls(Instant now);

  ProbeAction on_answer(Instant now);
  ProbeAction on_error_text(bool complete, Instant now);
  /// The SSLRequest brought nothing that can be used.
  ProbeAction on_setback(Setback setback, Instant now);
  ProbeAction on_hello_done(const TlsFacts& facts, Instant now);
  ProbeAction on_hello_failed(const probe_event::TlsFailed& event, Instant now);
  ProbeAction on_direct_failed(const probe_event::TlsFailed& event, Instant now);
  ProbeAction on_silent_handshake(Instant now);
  ProbeAction on_comparison(bool closed, Instant now);
  ProbeAction tls_failure(const probe_event::TlsFailed& event, Instant now);

  /// The diagnoses that rest on more than one connection.
  ProbeAction conclude_setback(const std::string& then, bool silent, Instant now);
  ProbeAction conclude_router(Instant now);
  ProbeAction conclude_route(Instant now);
  ProbeAction conclude_backend(Instant now);
  ProbeAction judge(std::uint8_t alert, Instant now);
  ProbeAction finish(ProbeStage stage, Diagnosis diagnosis, std::string detail, Instant now);

  static ProbeAction act(ProbeAction::Kind kind);
  static void shorten(std::optional<Duration>& shortest, Duration one);
  void keep(const TlsFacts& facts);
  void note(ProbeStage stage, bool ok, std::string detail, Instant now);
  void wait_until(Instant when) { deadline_ = when < end_ ? when : end_; }
  [[nodiscard]] bool direct() const { return target_.negotiation == Negotiation::direct; }
  [[nodiscard]] ProbeStage tls_stage() const {
    return direct() ? ProbeStage::handshake : ProbeStage::negotiate;
  }
  [[nodiscard]] Duration patience() const;
  [[nodiscard]] std::string limit_text() const;
  [[nodiscard]] std::string setback_text() const;
  [[nodiscard]] std::string hello_text() const;

  ProbeTarget target_;
  Phase phase_ = Phase::idle;
  Purpose purpose_ = Purpose::first;
  Setback setback_ = Setback::none;
  Instant end_ = kForever;
  Instant deadline_ = kForever;
  Instant mark_{};        ///< when the present step began
  Instant dialled_{};     ///< when the present connection was begun
  Instant hello_sent_{};  ///< when its ClientHello went out
  std::vector<std::string> addresses_;
  std::size_t address_ = 0;
  std::string connect_problems_;
  std::optional<probe_event::ConnectFailed::Kind> connect_problem_;
  std::string answer_;          ///< bytes outside TLS
  std::uint64_t received_ = 0;  ///< bytes of TLS of this connection
  TlsFacts facts_;
  std::optional<Duration> connect_time_;  ///< the shortest
  std::optional<Duration> named_time_;    ///< from ClientHello to the end, for the endpoint's name
  std::optional<Duration> control_time_;  ///< likewise, for the other
  std::size_t controls_ = 0;
  ProbeResult result_;
};

}  // namespace pgfed::core
