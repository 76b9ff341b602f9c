#include <algorithm>
#include <utility>

#include "pgfed/core/printable.hpp"
#include "pgfed/core/probe_machine.hpp"
#include "pgfed/core/server_answer.hpp"
#include "pgfed/core/text.hpp"
#include "pgfed/core/tls_alert.hpp"

/// The part of the ladder that is TLS.
namespace pgfed::core {

using Kind = ProbeAction::Kind;
using TlsFailed = probe_event::TlsFailed;

namespace {

/// By how much a server behind a router must be slower than the router, to be told from it.
constexpr Duration kClearlyLater = milliseconds(2);
/// How often both are dialled: a busy machine can make either seem slow, but none quick.
constexpr std::size_t kControlsAtLeast = 2;
constexpr std::size_t kControlsAtMost = 5;

bool is_gone(const TlsFailed& event) {
  return event.kind == TlsFailed::Kind::closed || event.kind == TlsFailed::Kind::reset;
}

}  // namespace

ProbeAction ProbeMachine::begin_tls(Instant now) {
  phase_ = Phase::handshaking;
  received_ = 0;
  hello_sent_ = now;
  const bool short_wait = purpose_ != Purpose::first && purpose_ != Purpose::again;
  wait_until(short_wait ? now + patience() : end_);
  ProbeAction action = act(Kind::start_tls);
  if (target_.sni) {
    action.server_name =
        server_name_of(purpose_ == Purpose::control ? target_.control_name : target_.host);
  }
  return action;
}

ProbeAction ProbeMachine::on(const probe_event::TlsBytes& event, Instant now) {
  if (phase_ != Phase::handshaking && phase_ != Phase::lingering) return {};
  // Who has begun to answer has the rest of the time.
  if (received_ == 0 && event.received != 0 && phase_ == Phase::handshaking) wait_until(end_);
  received_ = std::max(received_, event.received);
  if (received_ <= kHandshakeBudget) return {};
  if (phase_ == Phase::lingering) return judge(0, now);
  TlsFailed failed;
  failed.reason = "sent more than " + std::to_string(kHandshakeBudget / 1024) +
                  " kB without finishing the handshake";
  return on(failed, now);
}

ProbeAction ProbeMachine::on(const probe_event::TlsDone& event, Instant now) {
  if (phase_ != Phase::handshaking) return {};
  const bool instead = purpose_ == Purpose::hello || purpose_ == Purpose::repeat;
  if (instead && !direct()) return on_hello_done(event.facts, now);
  // The router has an answer even for that name, so it was not the router that closed.
  if (purpose_ == Purpose::control) return on_comparison(false, now);

  keep(event.facts);
  if (direct() && facts_.alpn != "postgresql") {
    if (!facts_.chain.empty() && !match_host(facts_.chain.front(), target_.host).matches) {
      return finish(ProbeStage::handshake, Diagnosis::route_missing,
                    "a server for " + names_text(facts_.chain.front()) + " answers, not one for " +
                        in_quotes(target_.host) + ", and it does not know ALPN \"postgresql\"",
                    now);
    }
    return finish(ProbeStage::handshake, Diagnosis::alpn_missing,
                  "does TLS at once, but without ALPN \"postgresql\"", now);
  }
  note(ProbeStage::handshake, true, printable(facts_.protocol) + ", " + printable(facts_.cipher),
       now);
  if (!facts_.certificate_requested) return judge(0, now);
  phase_ = Phase::lingering;
  wait_until(now + kLinger);
  return act(Kind::linger);
}

ProbeAction ProbeMachine::on(const TlsFailed& event, Instant now) {
  if (phase_ != Phase::handshaking) return {};
  switch (purpose_) {
    case Purpose::hello:
      return on_hello_failed(event, now);
    case Purpose::control:
    case Purpose::repeat:
      return on_comparison(is_gone(event) && received_ == 0, now);
    default:
      return direct() ? on_direct_failed(event, now) : tls_failure(event, now);
  }
}

/// A handshake that has failed for good.
ProbeAction ProbeMachine::tls_failure(const TlsFailed& event, Instant now) {
  keep(event.facts);
  const bool alert = event.kind == TlsFailed::Kind::alert;
  const std::string before =
      purpose_ == Purpose::hello ? setback_text() + "; TLS at once: " : std::string();
  if (!event.first_bytes.empty() && !begins_as_tls(event.first_bytes)) {
    return finish(tls_stage(), Diagnosis::not_postgres,
                  before + "answers with " + in_quotes(event.first_bytes) + " in place of TLS",
                  now);
  }
  // With TLS 1.2 the server looks at our certificate before the handshake is over.
  const ClientCertificate client = client_certificate_of(facts_, event.alert);
  if (alert && purpose_ != Purpose::hello && !facts_.chain.empty() &&
      (client == ClientCertificate::required || client == ClientCertificate::rejected)) {
    note(ProbeStage::handshake, true, printable(facts_.protocol), now);
    return judge(event.alert, now);
  }
  std::string detail;
  if (alert) {
    detail = "the server refuses the handshake with the alert " + alert_text(event.alert);
  } else if (event.kind == TlsFailed::Kind::closed) {
    detail = "the server closes the connection during the handshake";
  } else if (event.kind == TlsFailed::Kind::reset) {
    detail = "the server resets the connection during the handshake";
  } else {
    detail = printable(event.reason);
  }
  if (event.alert == tls_alert::kProtocolVersion ||
      event.reason.find("unsupported protocol") != std::string::npos) {
    detail = "the server offers no protocol from " + printable(target_.min_protocol) +
             " on: " + (alert ? alert_text(event.alert) : printable(event.reason));
  }
  return finish(ProbeStage::handshake, Diagnosis::handshake_failed, before + detail, now);
}

ProbeAction ProbeMachine::on_direct_failed(const TlsFailed& event, Instant now) {
  if (event.kind == TlsFailed::Kind::alert && event.alert == tls_alert::kUnrecognizedName) {
    return finish(ProbeStage::handshake, Diagnosis::route_missing,
                  "the router has no route for " + in_quotes(target_.host) + " (unrecognized_name)",
                  now);
  }
  if (event.kind == TlsFailed::Kind::alert && event.alert == tls_alert::kNoApplicationProtocol) {
    return finish(ProbeStage::handshake, Diagnosis::alpn_missing,
                  "does not know ALPN \"postgresql\" (no_application_protocol)", now);
  }
  if (!is_gone(event) || received_ != 0) return tls_failure(event, now);
  shorten(named_time_, age(hello_sent_, now));
  return dial_again(Purpose::request, now);
}

ProbeAction ProbeMachine::on_hello_done(const TlsFacts& facts, Instant now) {
  keep(facts);
  if (facts.alpn == "postgresql") {
    // One that was silent may have been slow: only one that is silent again wants TLS at once.
    return setback_ == Setback::silent ? dial_again(Purpose::again, now) : conclude_router(now);
  }
  std::string detail = setback_text() + "; TLS at once is answered by a server";
  if (!facts.chain.empty()) detail += " for " + names_text(facts.chain.front(), 3);
  return finish(ProbeStage::negotiate, Diagnosis::not_postgres,
                detail + " that does not know PostgreSQL's protocol", now);
}

ProbeAction ProbeMachine::on_hello_failed(const TlsFailed& event, Instant now) {
  if (is_gone(event) && received_ == 0) {
    // Nobody there, or a router with a server behind it that does not know TLS at once?
    const bool named = target_.sni && !server_name_of(target_.host).empty();
    if (setback_ != Setback::closed || !named) return conclude_route(now);
    shorten(named_time_, age(hello_sent_, now));
    return dial_again(Purpose::control, now);
  }
  if (event.kind == TlsFailed::Kind::alert) {
    const std::string alert = alert_text(event.alert);
    if (event.alert == tls_alert::kUnrecognizedName) {
      return finish(ProbeStage::negotiate, Diagnosis::router_needs_clienthello,
                    setback_text() + "; TLS at once is answered, but there is no route for " +
                        in_quotes(target_.host) + " (" + alert + ")",
                    now);
    }
    if (event.alert == tls_alert::kNoApplicationProtocol) {
      return finish(ProbeStage::negotiate, Diagnosis::not_postgres,
                    setback_text() +
                        "; TLS at once is answered by a server that does not know "
                        "PostgreSQL's protocol (" +
                        alert + ")",
                    now);
    }
  }
  return tls_failure(event, now);
}

/// No end of the handshake in time.
ProbeAction ProbeMachine::on_silent_handshake(Instant now) {
  if (purpose_ == Purpose::control || purpose_ == Purpose::repeat) return on_comparison(false, now);
  if (received_ == 0 && purpose_ == Purpose::hello) {
    return conclude_setback("sends nothing", true, now);
  }
  if (received_ == 0 && direct()) {
    return finish(ProbeStage::handshake, Diagnosis::no_answer,
                  "accepts the connection and sends nothing within " + limit_text(), now);
  }
  return finish(ProbeStage::handshake, Diagnosis::handshake_failed,
                "no end of the handshake within " + limit_text(), now);
}

/// One of the connections by which a router is told from a server behind it has ended.
ProbeAction ProbeMachine::on_comparison(bool closed, Instant now) {
  const Duration time = age(hello_sent_, now);
  if (purpose_ == Purpose::repeat) {
    if (closed) shorten(named_time_, time);
    return dial_again(Purpose::control, now);
  }
  // Treated otherwise than the endpoint's name: so that one has a route.
  if (!closed) return conclude_backend(now);
  shorten(control_time_, time);
  if (++controls_ < kControlsAtLeast) return dial_again(Purpose::repeat, now);
  // What the way takes, both have in common.
  const Duration way = connect_time_.value_or(Duration::zero());
  const Duration named = std::max(Duration::zero(), named_time_.value_or(time) - way);
  const Duration control = std::max(Duration::zero(), *control_time_ - way);
  const bool later = named > 2 * control && named - control >= kClearlyLater;
  if (!later && named >= kClearlyLater && controls_ < kControlsAtMost) {
    return dial_again(Purpose::repeat, now);
  }
  return later ? conclude_backend(now) : conclude_route(now);
}

// ---- the diagnoses that rest on more than one connection -------------------------------------

std::string ProbeMachine::setback_text() const {
  switch (setback_) {
    case Setback::silent:
      return "does not answer an SSLRequest";
    case Setback::alert:
      return "answers an SSLRequest with a TLS alert";
    default:
      return "closes the connection after an SSLRequest";
  }
}

std::string ProbeMachine::hello_text() const {
  const std::string name = target_.sni ? server_name_of(target_.host) : std::string();
  return "a ClientHello " + (name.empty() ? "without a name" : "for " + in_quotes(name));
}

ProbeAction ProbeMachine::conclude_setback(const std::string& then, bool silent, Instant now) {
  Diagnosis diagnosis = Diagnosis::closed;
  if (setback_ == Setback::alert) diagnosis = Diagnosis::not_postgres;
  if (setback_ == Setback::silent || silent) diagnosis = Diagnosis::no_answer;
  return finish(ProbeStage::negotiate, diagnosis,
                setback_text() + ", and " + then + " after " + hello_text(), now);
}

ProbeAction ProbeMachine::conclude_router(Instant now) {
  return finish(ProbeStage::negotiate, Diagnosis::router_needs_clienthello,
                setback_text() + ", but does TLS if it comes at once", now);
}

ProbeAction ProbeMachine::conclude_route(Instant now) {
  if (!direct()) return conclude_setback("closes the connection", false, now);
  result_.guessed = true;
  std::string detail = "closes the connection after " + hello_text();
  if (control_time_) detail += ", as it does for a name without a route";
  return finish(ProbeStage::handshake, Diagnosis::route_missing, detail, now);
}

ProbeAction ProbeMachine::conclude_backend(Instant now) {
  result_.guessed = true;
  if (!direct()) {
    return finish(ProbeStage::negotiate, Diagnosis::router_needs_clienthello,
                  setback_text() +
                      "; TLS at once reaches a server behind a router, which closes "
                      "the connection: it is probably older than PostgreSQL 17",
                  now);
  }
  return finish(ProbeStage::handshake, Diagnosis::backend_too_old_for_direct,
                "closes the connection after " + hello_text() +
                    ", but later or otherwise than for a name without a route: the server behind "
                    "the router is probably older than PostgreSQL 17",
                now);
}

}  // namespace pgfed::core
