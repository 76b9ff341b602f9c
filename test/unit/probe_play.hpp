#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <string>

#include "pgfed/core/probe_machine.hpp"
#include "pgfed/core/terms.hpp"

/// For the tests of the probe's machine: what a handshake shows, and a way to play events.
namespace pgfed::core::probe_test {

using namespace probe_event;
using Event = probe_event::Event;
using Kind = ProbeAction::Kind;

inline Certificate leaf_for(const std::string& name) {
  Certificate leaf;
  leaf.subject = "CN=" + name;
  leaf.issuer = "CN=Our CA";
  leaf.common_name = name;
  leaf.dns_names = {name};
  leaf.not_before = 1;
  leaf.not_after = 1798859045;
  leaf.serial = "0BAD";
  leaf.key = "RSA 1024";
  return leaf;
}

inline TlsFacts facts_for(const std::string& name, const std::string& alpn = "") {
  TlsFacts facts;
  facts.protocol = "TLSv1.3";
  facts.cipher = "TLS_AES_256_GCM_SHA384";
  facts.alpn = alpn;
  facts.chain = {leaf_for(name)};
  facts.verdict.checked = true;
  facts.verdict.anchor.bytes[0] = 1;
  return facts;
}

inline TlsFacts with_error(ChainError error, std::size_t depth = 0) {
  TlsFacts facts = facts_for("leo.example");
  facts.verdict.error = error;
  facts.verdict.depth = depth;
  facts.verdict.culprit = facts.chain.front();
  facts.verdict.reason = "the reason";
  facts.verdict.anchor = {};
  return facts;
}

inline TlsFacts asked(bool sent, TlsFacts facts = facts_for("leo.example")) {
  facts.certificate_requested = true;
  facts.certificate_sent = sent;
  return facts;
}

inline TlsFailed failed(TlsFailed::Kind kind, std::uint8_t alert = 0,
                        const std::string& reason = "") {
  TlsFailed event;
  event.kind = kind;
  event.alert = alert;
  event.reason = reason;
  return event;
}
inline const TlsFailed kGone = failed(TlsFailed::Kind::closed);
inline TlsFailed alert(std::uint8_t number) { return failed(TlsFailed::Kind::alert, number); }
inline TlsFailed in_place_of_tls(const std::string& bytes) {
  TlsFailed event = failed(TlsFailed::Kind::error, 0, "wrong version number");
  event.first_bytes = bytes;
  return event;
}

/// Plays a probe: events at given times, and what was done in answer.
struct Play {
  explicit Play(Negotiation negotiation = Negotiation::postgres, Duration limit = seconds(9),
                const std::string& host = "leo.example")
      : machine({.host = host,
                 .port = 5432,
                 .negotiation = negotiation,
                 .sni = true,
                 .limit = limit,
                 .control_name = "nobody.invalid",
                 .min_protocol = "TLSv1.2",
                 .own_problem = {}}) {
    done(machine.start(now));
  }

  Play& at(Duration after) {
    now += after;
    return *this;
  }
  Play& say(const Event& event) {
    done(machine.step(event, now));
    return *this;
  }
  /// As far as the answer to the first question.
  Play& connected() { return say(Resolved{{"10.0.0.1"}}).say(Connected{}); }
  /// Nothing happens until the machine no longer waits for it.
  Play& silence() {
    now = std::max(now, machine.deadline());
    return say(Tick{});
  }
  void done(const ProbeAction& action) {
    constexpr std::array kWords = {"wait", "resolve", "connect", "request",
                                   "tls",  "linger",  "finish"};
    if (action.kind == Kind::wait) return;
    if (!actions.empty()) actions += " ";
    actions += kWords[static_cast<std::size_t>(action.kind)];
    if (action.kind == Kind::connect) actions += "(" + action.address + ")";
    if (action.kind == Kind::start_tls) actions += "(" + action.server_name + ")";
  }
  void expect(Diagnosis diagnosis, ProbeStage stage, const std::string& detail) const {
    EXPECT_TRUE(machine.finished());
    const ProbeResult& result = machine.result();
    EXPECT_EQ(word(result.diagnosis), word(diagnosis));
    EXPECT_EQ(word(result.stage), word(stage));
    EXPECT_EQ(result.detail, detail);
  }

  Instant now = Instant(seconds(1000));
  ProbeMachine machine;
  std::string actions;
};

inline Play& operator<<(Play& play, const Event& event) { return play.say(event); }

}  // namespace pgfed::core::probe_test
