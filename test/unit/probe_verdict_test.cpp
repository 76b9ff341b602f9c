#include "pgfed/core/probe_verdict.hpp"

#include <gtest/gtest.h>

#include <random>
#include <set>

#include "pgfed/core/tls_alert.hpp"

#include "probe_play.hpp"

namespace pgfed::core {
namespace {

using namespace probe_test;

// ---- handshake -------------------------------------------------------------------------------

TEST(ProbeMachine, HandshakesThatFail) {
  struct Case {
    Event event;
    std::string detail;
    Diagnosis diagnosis = Diagnosis::handshake_failed;
    ProbeStage stage = ProbeStage::handshake;
  };
  const std::vector<Case> cases = {
      {kGone, "the server closes the connection during the handshake"},
      {failed(TlsFailed::Kind::reset), "the server resets the connection during the handshake"},
      {alert(70), "the server offers no protocol from TLSv1.2 on: protocol_version"},
      {failed(TlsFailed::Kind::error, 0, "unsupported protocol"),
       "the server offers no protocol from TLSv1.2 on: unsupported protocol"},
      {alert(40), "the server refuses the handshake with the alert handshake_failure"},
      {alert(200), "the server refuses the handshake with the alert alert 200"},
      {failed(TlsFailed::Kind::error, 0, "bad\nsignature"), "bad signature"},
      {in_place_of_tls("SH-2.0"), "answers with \"SH-2.0\" in place of TLS",
       Diagnosis::not_postgres, ProbeStage::negotiate},
      {in_place_of_tls("\x16\3\1xx"), "wrong version number"},
      {TlsBytes{256 * 1024 + 1}, "sent more than 256 kB without finishing the handshake"},
      {Tick{}, "no end of the handshake within 9000 ms"},
  };
  for (const Case& one : cases) {
    SCOPED_TRACE(one.detail);
    Play play;
    play.connected() << Received{"S"};
    if (std::holds_alternative<Tick>(one.event)) {
      play.silence();
    } else {
      play << TlsBytes{100} << one.event;
    }
    play.expect(one.diagnosis, one.stage, one.detail);
  }
}

TEST(ProbeMachine, WhoHasBegunToAnswerHasTheRestOfTheTime) {
  Play play;
  play.connected() << Closed{} << Connected{};
  EXPECT_EQ(play.machine.deadline(), play.now + seconds(2));
  play << TlsBytes{1};
  EXPECT_EQ(play.machine.deadline(), play.now + seconds(9));
  play.silence();
  play.expect(Diagnosis::handshake_failed, ProbeStage::handshake,
              "no end of the handshake within 9000 ms");
}

TEST(ProbeMachine, EventsDoNotStopTheClock) {
  Play play;
  play.connected() << Received{"S"};
  for (int i = 1; i < 20; ++i) play.at(seconds(1)) << TlsBytes{static_cast<std::uint64_t>(i)};
  play.expect(Diagnosis::handshake_failed, ProbeStage::handshake,
              "no end of the handshake within 9000 ms");
  EXPECT_EQ(play.machine.deadline(), kForever);
}

// ---- certificates ----------------------------------------------------------------------------

TEST(ProbeMachine, Chains) {
  struct Case {
    TlsFacts facts;
    Diagnosis diagnosis;
    std::string detail;
    CertificateState state;
  };
  TlsFacts unreadable = facts_for("leo.example");
  unreadable.verdict = {};
  unreadable.verdict.trust_problem = "cannot load sslrootcert /ca.crt: No such file or directory";
  TlsFacts bare = facts_for("leo.example");
  bare.chain.clear();
  TlsFacts longer = with_error(ChainError::unknown_issuer, 1);
  longer.chain.push_back(leaf_for("ca"));
  const std::vector<Case> cases = {
      {with_error(ChainError::self_signed), Diagnosis::self_signed,
       "certificate is signed by itself, and not trusted here: \"CN=leo.example\"",
       CertificateState::untrusted},
      {with_error(ChainError::unknown_issuer), Diagnosis::unknown_ca,
       "certificate ends in an issuer that is not trusted here: \"CN=Our CA\"; the server sent only "
       "its own certificate, so an intermediate one may be missing",
       CertificateState::untrusted},
      {longer, Diagnosis::unknown_ca,
       "certificate chain ends in an issuer that is not trusted here: \"CN=Our CA\"",
       CertificateState::untrusted},
      {with_error(ChainError::untrusted_root, 1), Diagnosis::unknown_ca,
       "certificate chain ends in a CA that is not trusted here: \"CN=leo.example\"",
       CertificateState::untrusted},
      {with_error(ChainError::missing_intermediate), Diagnosis::chain_incomplete,
       "the server does not send the intermediate certificate \"CN=Our CA\"",
       CertificateState::untrusted},
      {with_error(ChainError::expired), Diagnosis::expired,
       "certificate expired on 2027-01-02 03:04:05 UTC", CertificateState::expired},
      {with_error(ChainError::expired, 1), Diagnosis::ca_expired,
       "CA certificate \"CN=leo.example\" expired on 2027-01-02 03:04:05 UTC",
       CertificateState::expired},
      {with_error(ChainError::not_yet_valid), Diagnosis::not_yet_valid,
       "certificate is not valid before 1970-01-01 00:00:01 UTC", CertificateState::not_yet_valid},
      {with_error(ChainError::revoked), Diagnosis::revoked,
       "certificate is revoked: serial number 0BAD", CertificateState::untrusted},
      {with_error(ChainError::crl_missing), Diagnosis::crl_missing,
       "no valid CRL of \"CN=Our CA\": the reason", CertificateState::untrusted},
      {with_error(ChainError::weak_key), Diagnosis::weak_key,
       "key of certificate is too weak: RSA 1024", CertificateState::untrusted},
      {with_error(ChainError::weak_digest), Diagnosis::weak_key,
       "certificate is signed with too weak an algorithm", CertificateState::untrusted},
      {with_error(ChainError::wrong_purpose), Diagnosis::wrong_purpose,
       "certificate is not meant for a server", CertificateState::untrusted},
      {with_error(ChainError::other), Diagnosis::untrusted,
       "certificate does not verify: the reason", CertificateState::untrusted},
      {unreadable, Diagnosis::trust_unreadable,
       "cannot load sslrootcert /ca.crt: No such file or directory", CertificateState::unknown},
      {bare, Diagnosis::untrusted, "the server sent no certificate", CertificateState::untrusted},
  };
  for (const Case& one : cases) {
    SCOPED_TRACE(one.detail);
    Play play;
    play.connected() << Received{"S"} << TlsDone{one.facts};
    play.expect(one.diagnosis, ProbeStage::chain, one.detail);
    EXPECT_EQ(certificate_state_of(one.diagnosis), one.state);
    const ProbeResult& result = play.machine.result();
    if (one.facts.verdict.checked && !one.facts.chain.empty()) {
      EXPECT_EQ(result.chain_ok, false);
    } else {
      EXPECT_FALSE(result.chain_ok.has_value());
    }
  }
}

TEST(ProbeMachine, NamesComeAfterTheChain) {
  Play name(Negotiation::postgres, seconds(9), "pit.example");
  name.connected() << Received{"S"} << TlsDone{facts_for("leo.example")};
  name.expect(Diagnosis::name_mismatch, ProbeStage::name,
              "certificate is for DNS leo.example, not for \"pit.example\"");
  EXPECT_EQ(name.machine.result().host_match, false);
  EXPECT_EQ(name.machine.result().chain_ok, true);
  Play both(Negotiation::postgres, seconds(9), "pit.example");
  both.connected() << Received{"S"} << TlsDone{with_error(ChainError::self_signed)};
  EXPECT_EQ(both.machine.result().diagnosis, Diagnosis::self_signed);
  EXPECT_EQ(both.machine.result().host_match, false);
}

TEST(ProbeMachine, AddressesAreNotAnnounced) {
  for (const char* host : {"10.0.0.1", "::1", "fe80::1%eth0", "1.", ""}) {
    EXPECT_EQ(ProbeMachine::server_name_of(host), "") << host;
  }
  EXPECT_EQ(ProbeMachine::server_name_of("leo.example"), "leo.example");
  EXPECT_EQ(ProbeMachine::server_name_of("0x7f"), "0x7f");
  Play play(Negotiation::postgres, seconds(9), "10.0.0.1");
  play.connected() << Received{"S"};
  EXPECT_EQ(play.actions, "resolve connect(10.0.0.1) request tls()");
}

// ---- our own certificate ---------------------------------------------------------------------

TEST(ProbeMachine, ClientCertificates) {
  struct Case {
    bool sent;
    Event end;
    Diagnosis diagnosis;
    ClientCertificate client;
    std::string detail;
  };
  const std::vector<Case> cases = {
      {true, LateEnd{}, Diagnosis::ok, ClientCertificate::sent, ""},
      {true, Tick{}, Diagnosis::ok, ClientCertificate::sent, ""},
      {false, LateEnd{}, Diagnosis::ok, ClientCertificate::none, ""},
      {true, TlsBytes{1U << 20U}, Diagnosis::ok, ClientCertificate::sent, ""},
      {true, LateAlert{48}, Diagnosis::client_certificate_rejected, ClientCertificate::rejected,
       "the server does not accept this server's client certificate (unknown_ca)"},
      {false, LateAlert{116}, Diagnosis::client_certificate_required, ClientCertificate::required,
       "the server wants a client certificate, and there is none to send (certificate_required)"},
      {true, LateAlert{80}, Diagnosis::ok, ClientCertificate::sent, ""},
  };
  for (const Case& one : cases) {
    SCOPED_TRACE(one.detail);
    Play play;
    play.connected() << Received{"S"} << TlsDone{asked(one.sent)};
    EXPECT_EQ(play.machine.deadline(), play.now + seconds(1));
    if (std::holds_alternative<Tick>(one.end)) {
      play.silence();
    } else {
      play << one.end;
    }
    play.expect(one.diagnosis,
                one.diagnosis == Diagnosis::ok ? ProbeStage::done : ProbeStage::client, one.detail);
    EXPECT_EQ(word(play.machine.result().client_certificate), word(one.client));
  }
}

TEST(ProbeMachine, ClientCertificatesInTls12) {
  TlsFailed refused = alert(40);
  refused.facts = asked(false);
  refused.facts.protocol = "TLSv1.2";
  Play required;
  required.connected() << Received{"S"} << TlsBytes{9} << refused;
  required.expect(Diagnosis::client_certificate_required, ProbeStage::client,
                  "the server wants a client certificate, and there is none to send "
                  "(handshake_failure)");
  refused.facts.verdict.error = ChainError::self_signed;
  Play first;  // but the chain comes first
  first.connected() << Received{"S"} << TlsBytes{9} << refused;
  EXPECT_EQ(first.machine.result().diagnosis, Diagnosis::self_signed);
  EXPECT_EQ(first.machine.result().client_certificate, ClientCertificate::required);
  TlsFailed rejected = alert(42);
  rejected.facts = asked(true);
  Play play;
  play.connected() << Received{"S"} << TlsBytes{9} << rejected;
  EXPECT_EQ(play.machine.result().diagnosis, Diagnosis::client_certificate_rejected);
  TlsFailed unasked = alert(42);
  unasked.facts = facts_for("leo.example");
  Play other;
  other.connected() << Received{"S"} << TlsBytes{9} << unasked;
  EXPECT_EQ(other.machine.result().diagnosis, Diagnosis::handshake_failed);
}

TEST(ProbeMachine, OwnCertificateThatCannotBeRead) {
  ProbeMachine machine({.host = "leo.example",
                        .port = 1,
                        .negotiation = Negotiation::postgres,
                        .sni = true,
                        .limit = seconds(1),
                        .control_name = {},
                        .min_protocol = {},
                        .own_problem = "cannot load sslkey /k: Permission denied"});
  const Instant now(seconds(1));
  machine.start(now);
  machine.step(Resolved{{"a"}}, now);
  machine.step(Connected{}, now);
  machine.step(Received{"S"}, now);
  machine.step(TlsDone{facts_for("leo.example")}, now);
  EXPECT_EQ(machine.result().diagnosis, Diagnosis::trust_unreadable);
  EXPECT_EQ(machine.result().stage, ProbeStage::client);
  EXPECT_EQ(machine.result().detail, "cannot load sslkey /k: Permission denied");
  EXPECT_EQ(machine.result().chain_ok, true);
}

// ---- words -----------------------------------------------------------------------------------

TEST(Probe, WordsAreUnlike) {
  std::set<std::string_view> words;
  for (int i = 0; i <= static_cast<int>(Diagnosis::trust_unreadable); ++i) {
    const auto diagnosis = static_cast<Diagnosis>(i);
    EXPECT_TRUE(words.insert(word(diagnosis)).second) << i;
    EXPECT_EQ(word(diagnosis).find_first_not_of("abcdefghijklmnopqrstuvwxyz_"),
              std::string_view::npos);
    const Status status = status_of(diagnosis);
    EXPECT_EQ(status == Status::ok, diagnosis == Diagnosis::ok);
  }
  EXPECT_EQ(word(static_cast<Diagnosis>(99)), "unknown");
  EXPECT_EQ(word(Diagnosis::name_mismatch), "name_mismatch");
  EXPECT_EQ(word(Diagnosis::trust_unreadable), "trust_unreadable");
  EXPECT_EQ(status_of(Diagnosis::crl_missing), Status::critical);
  EXPECT_EQ(status_of(Diagnosis::unknown), Status::unknown);
  EXPECT_EQ(word(ProbeStage::done), "done");
  EXPECT_EQ(word(Negotiation::direct), "direct");
  EXPECT_EQ(word(ClientCertificate::required), "required");
  EXPECT_EQ(word(CertificateState::plaintext), "plaintext");
  EXPECT_EQ(certificate_state_of(Diagnosis::plaintext_only), CertificateState::plaintext);
  EXPECT_EQ(certificate_state_of(Diagnosis::name_mismatch), CertificateState::mismatch);
  EXPECT_EQ(certificate_state_of(Diagnosis::tcp_refused), CertificateState::unknown);
  EXPECT_EQ(alert_text(116), "certificate_required");
}

// ---- anything at all -------------------------------------------------------------------------

Event random_event(std::mt19937& random) {
  const auto bytes = [&](std::size_t most) {
    return std::string(random() % most, static_cast<char>(random()));
  };
  const auto flip = [&] { return random() % 2 == 0; };
  const auto number = [&] { return static_cast<std::uint8_t>(random()); };
  switch (random() % 17) {
    case 0:
      return Resolved{{"10.0.0.1", "::1"}};
    case 1:
    case 2:
    case 3:
      return Connected{};
    case 4:
      return ConnectFailed{static_cast<ConnectFailed::Kind>(random() % 4), "x\n"};
    case 5:
      return Received{std::string(1, "SSNE\x15H"[random() % 6])};
    case 6:
      return Received{bytes(40)};
    case 7:
      return Closed{flip()};
    case 8:
      return TlsBytes{flip() ? random() : random() % 1000};
    case 9:
      return TlsDone{facts_for("leo.example", flip() ? "postgresql" : "")};
    case 10:
      return TlsDone{asked(flip(), with_error(static_cast<ChainError>(random() % 13)))};
    case 11:
      return kGone;
    case 12:
      return alert(number());
    case 13:
      return in_place_of_tls(bytes(9));
    case 14:
      return LateAlert{number()};
    case 15:
      return LateEnd{};
    default:
      return Tick{};
  }
}

TEST(ProbeMachine, SurvivesRandomEvents) {
  std::mt19937 random(42);  // NOLINT(cert-msc51-cpp): repeatable on purpose
  std::set<std::string_view> seen;
  for (int round = 0; round < 20000; ++round) {
    Play play(random() % 2 == 0 ? Negotiation::postgres : Negotiation::direct);
    const Instant begun = play.now;
    std::size_t connects = 0;
    for (int i = 0; i < 100 && !play.machine.finished(); ++i) {
      play.at(microseconds(random() % 300000));
      const ProbeAction action = play.machine.step(random_event(random), play.now);
      if (action.kind == Kind::connect) ++connects;
      EXPECT_EQ(action.kind == Kind::finish, play.machine.finished());
      EXPECT_TRUE(play.machine.finished() || play.machine.deadline() <= begun + seconds(9));
    }
    // Time alone brings it to an end.
    for (int i = 0; i < 20 && !play.machine.finished(); ++i) play.silence();
    const ProbeResult& result = play.machine.result();
    ASSERT_TRUE(play.machine.finished());
    EXPECT_LE(connects, 12U);
    EXPECT_EQ(result.stage == ProbeStage::done, result.diagnosis == Diagnosis::ok);
    EXPECT_EQ(result.detail.empty(), result.diagnosis == Diagnosis::ok);
    EXPECT_FALSE(result.steps.empty());
    EXPECT_EQ(result.detail.find_first_of("\n\x1b"), std::string::npos);
    EXPECT_EQ(play.machine.step(Connected{}, play.now).kind, Kind::wait);
    seen.insert(word(result.diagnosis));
  }
  EXPECT_GT(seen.size(), 15U);
}

}  // namespace
}  // namespace pgfed::core
