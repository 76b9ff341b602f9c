#include "pgfed/core/probe_machine.hpp"

#include <gtest/gtest.h>

#include <array>

#include "probe_play.hpp"

namespace pgfed::core {
namespace {

using namespace probe_test;
using namespace std::string_literals;

// ---- the way ---------------------------------------------------------------------------------

TEST(ProbeMachine, AllIsWell) {
  Play play;
  play.connected().say(Received{"S"}).at(milliseconds(5)).say(TlsDone{facts_for("leo.example")});
  play.expect(Diagnosis::ok, ProbeStage::done, "");
  EXPECT_EQ(play.actions, "resolve connect(10.0.0.1) request tls(leo.example) finish");
  const ProbeResult& result = play.machine.result();
  EXPECT_EQ(result.chain_ok, true);
  EXPECT_EQ(result.host_match, true);
  EXPECT_EQ(result.protocol, "TLSv1.3");
  EXPECT_EQ(result.client_certificate, ClientCertificate::not_requested);
  EXPECT_TRUE(result.anchor.known());
  std::string steps;
  for (const ProbeStep& step : result.steps) {
    EXPECT_TRUE(step.ok);
    steps += std::string(word(step.stage)) + ":" + step.detail + "\n";
    const bool handshake = step.stage == ProbeStage::handshake;
    EXPECT_EQ(step.elapsed, handshake ? milliseconds(5) : milliseconds(0));
  }
  EXPECT_EQ(steps,
            "resolve:10.0.0.1\nconnect:10.0.0.1 port 5432\nnegotiate:the server does TLS\n"
            "handshake:TLSv1.3, TLS_AES_256_GCM_SHA384\nchain:CN=leo.example\n"
            "name:\"leo.example\"\nclient:no client certificate requested\n");
}

TEST(ProbeMachine, Resolving) {
  Play none;
  none << ResolveFailed{"could not translate\nhost name"};
  none.expect(Diagnosis::unresolved, ProbeStage::resolve, "could not translate host name");
  Play empty;
  empty << Resolved{};
  empty.expect(Diagnosis::unresolved, ProbeStage::resolve, "it has no address");
  Play silent;
  silent.silence();
  silent.expect(Diagnosis::unresolved, ProbeStage::resolve,
                "no answer from the name servers within 9000 ms");
}

TEST(ProbeMachine, Connecting) {
  using Why = ConnectFailed::Kind;
  Play refused;
  refused << Resolved{{"10.0.0.1"}};
  refused << ConnectFailed{Why::refused, "Connection refused"};
  refused.expect(Diagnosis::tcp_refused, ProbeStage::connect,
                 "10.0.0.1 port 5432: Connection refused");

  Play unreachable;
  unreachable << Resolved{{"10.0.0.1", "::1"}};
  unreachable << ConnectFailed{Why::unreachable, "No route to host"};
  EXPECT_EQ(unreachable.machine.deadline(), unreachable.now + seconds(9));
  unreachable.silence();
  unreachable.expect(
      Diagnosis::tcp_timeout, ProbeStage::connect,
      "10.0.0.1 port 5432: No route to host; ::1 port 5432: no answer within 9000 ms");

  Play silent;  // each has its share of the time; that the second refuses says more
  silent << Resolved{{"a", "b", "c"}};
  EXPECT_EQ(silent.machine.deadline(), silent.now + seconds(3));
  silent.silence() << ConnectFailed{Why::refused, "refused"};
  silent.silence();
  silent.expect(Diagnosis::tcp_refused, ProbeStage::connect,
                "a port 5432: no answer within 3000 ms; b port 5432: refused; "
                "c port 5432: no answer within 6000 ms");

  Play second;
  second << Resolved{{"a", "b"}} << ConnectFailed{Why::refused, "x"} << Connected{} << Received{"S"}
         << TlsDone{facts_for("leo.example")};
  second.expect(Diagnosis::ok, ProbeStage::done, "");
  EXPECT_EQ(second.actions, "resolve connect(a) connect(b) request tls(leo.example) finish");

  Play here;
  here << Resolved{{"a"}} << ConnectFailed{Why::other, "Too many open files"};
  here.expect(Diagnosis::unknown, ProbeStage::connect, "a port 5432: Too many open files");

  Play many;
  many << Resolved{std::vector<std::string>(100, "a")};
  for (int i = 0; i < 8; ++i) many << ConnectFailed{Why::refused, "x"};
  EXPECT_TRUE(many.machine.finished());
}

// ---- answers to the SSLRequest ---------------------------------------------------------------

TEST(ProbeMachine, AnswersToTheRequest) {
  const std::string modern = "E"s + "\0\0\0\x27"s + "SFATAL\0C53300\0Mtoo many clients\0\0"s + "zz";
  struct Case {
    std::vector<std::string> pieces;
    Diagnosis diagnosis;
    ProbeStage stage;
    std::string detail;
  };
  const std::vector<Case> cases = {
      {{"N"}, Diagnosis::plaintext_only, ProbeStage::negotiate, "the server does no TLS"},
      {{"NO"},
       Diagnosis::not_postgres,
       ProbeStage::negotiate,
       "answers the SSLRequest with \"NO\""},
      {{"HTTP/1.1 400 Bad Request\r\n"},
       Diagnosis::not_postgres,
       ProbeStage::negotiate,
       "answers the SSLRequest with \"HTTP/1.1 400 Bad Request  \""},
      {{"SSH-2.0-OpenSSH"},
       Diagnosis::not_postgres,
       ProbeStage::negotiate,
       "answers the SSLRequest with \"SSH-2.0-OpenSSH\""},
      {{"\x1b[2J\xff"},
       Diagnosis::not_postgres,
       ProbeStage::negotiate,
       "answers the SSLRequest with \" [2J?\""},
      {{"SINSERT INTO"},
       Diagnosis::handshake_failed,
       ProbeStage::handshake,
       "the server sent unencrypted data after its answer to the SSLRequest"},
      {{"Esorry, too many clients already\n\0"s},
       Diagnosis::server_error,
       ProbeStage::negotiate,
       "answers the SSLRequest with an error: \"sorry, too many clients already\""},
      {{"E", "so", "rry\n", "\0"s},
       Diagnosis::server_error,
       ProbeStage::negotiate,
       "answers the SSLRequest with an error: \"sorry\""},
      {{modern},
       Diagnosis::server_error,
       ProbeStage::negotiate,
       "answers the SSLRequest with an error: \"too many clients\""},
      {{modern.substr(0, 3), modern.substr(3, 20), modern.substr(23)},
       Diagnosis::server_error,
       ProbeStage::negotiate,
       "answers the SSLRequest with an error: \"too many clients\""},
      {{"E" + std::string(5000, 'x')},
       Diagnosis::server_error,
       ProbeStage::negotiate,
       "answers the SSLRequest with an error: \"" + std::string(64, 'x') + "...\""},
  };
  for (const Case& one : cases) {
    SCOPED_TRACE(one.detail);
    Play play;
    play.connected();
    for (const std::string& piece : one.pieces) play << Received{piece};
    play.expect(one.diagnosis, one.stage, one.detail);
  }
}

TEST(ProbeMachine, ErrorThatDoesNotEnd) {
  Play closed;
  closed.connected() << Received{"Efirst"} << Closed{};
  closed.expect(Diagnosis::server_error, ProbeStage::negotiate,
                "answers the SSLRequest with an error: \"first\" (not complete)");
  Play silent;
  silent.connected() << Received{"E\0\0\1"s};
  silent.silence();
  silent.expect(Diagnosis::server_error, ProbeStage::negotiate,
                "answers the SSLRequest with an error: \"\" (not complete)");
}

TEST(ProbeMachine, RouterThatNeedsAClientHello) {
  for (const Event& setback : {Event(Closed{}), Event(Closed{true}), Event(Received{"\x15\3\3"})}) {
    Play play;
    play.connected() << setback << Connected{};
    play << TlsDone{facts_for("leo.example", "postgresql")};
    const bool alerted = std::holds_alternative<Received>(setback);
    play.expect(Diagnosis::router_needs_clienthello, ProbeStage::negotiate,
                (alerted ? "answers an SSLRequest with a TLS alert"s
                         : "closes the connection after an SSLRequest"s) +
                    ", but does TLS if it comes at once");
    EXPECT_EQ(play.actions,
              "resolve connect(10.0.0.1) request connect(10.0.0.1) tls(leo.example) finish");
    EXPECT_EQ(play.machine.result().host_match, true);
  }
}

TEST(ProbeMachine, SilenceIsAskedTwice) {
  Play router;
  router.connected();
  EXPECT_EQ(router.machine.deadline(), router.now + seconds(2));
  router.silence() << Connected{} << TlsDone{facts_for("leo.example", "postgresql")} << Connected{};
  EXPECT_FALSE(router.machine.finished());
  router.silence();
  router.expect(Diagnosis::router_needs_clienthello, ProbeStage::negotiate,
                "does not answer an SSLRequest, but does TLS if it comes at once");

  Play slow;  // it was only slow, and knows both ways
  slow.connected().silence() << Connected{} << TlsDone{facts_for("leo.example", "postgresql")};
  slow << Connected{} << Received{"S"} << TlsDone{facts_for("leo.example", "postgresql")};
  slow.expect(Diagnosis::ok, ProbeStage::done, "");

  for (const Event& other : {Event(Received{"N"}), Event(Received{"\x15"}),
                             Event(Received{"Ex\0"s}), Event(Closed{}), Event(ConnectFailed{})}) {
    Play play;
    play.connected().silence() << Connected{} << TlsDone{facts_for("leo.example", "postgresql")};
    if (!std::holds_alternative<ConnectFailed>(other)) play << Connected{};
    play << other;
    EXPECT_EQ(play.machine.result().diagnosis, Diagnosis::router_needs_clienthello);
  }

  Play dead;
  dead.connected().silence() << Connected{};
  dead.silence();
  dead.expect(Diagnosis::no_answer, ProbeStage::negotiate,
              "does not answer an SSLRequest, and sends nothing after a ClientHello for "
              "\"leo.example\"");

  Play quick(Negotiation::postgres, milliseconds(300));
  quick.connected();
  EXPECT_EQ(quick.machine.deadline(), quick.now + milliseconds(100));
}

TEST(ProbeMachine, NothingComesOfEitherWay) {
  struct Case {
    Event first;
    Event second;
    Diagnosis diagnosis;
    ProbeStage stage;
    std::string detail;
  };
  const std::string closes = "closes the connection after an SSLRequest";
  const std::vector<Case> cases = {
      {Closed{}, kGone, Diagnosis::closed, ProbeStage::negotiate,
       closes + ", and closes the connection after a ClientHello for \"leo.example\""},
      {Tick{}, kGone, Diagnosis::no_answer, ProbeStage::negotiate,
       "does not answer an SSLRequest, and closes the connection after a ClientHello for "
       "\"leo.example\""},
      {Closed{}, Tick{}, Diagnosis::no_answer, ProbeStage::negotiate,
       closes + ", and sends nothing after a ClientHello for \"leo.example\""},
      {Received{"\x15"}, kGone, Diagnosis::not_postgres, ProbeStage::negotiate,
       "answers an SSLRequest with a TLS alert, and closes the connection after a ClientHello for "
       "\"leo.example\""},
      {Closed{}, TlsDone{facts_for("www.example")}, Diagnosis::not_postgres, ProbeStage::negotiate,
       closes + "; TLS at once is answered by a server for DNS www.example that does not know "
                "PostgreSQL's protocol"},
      {Closed{}, alert(112), Diagnosis::router_needs_clienthello, ProbeStage::negotiate,
       closes + "; TLS at once is answered, but there is no route for \"leo.example\" "
                "(unrecognized_name)"},
      {Closed{}, alert(120), Diagnosis::not_postgres, ProbeStage::negotiate,
       closes + "; TLS at once is answered by a server that does not know PostgreSQL's protocol "
                "(no_application_protocol)"},
      {Closed{}, alert(40), Diagnosis::handshake_failed, ProbeStage::handshake,
       closes + "; TLS at once: the server refuses the handshake with the alert handshake_failure"},
      {Closed{}, in_place_of_tls("220 mail"), Diagnosis::not_postgres, ProbeStage::negotiate,
       closes + "; TLS at once: answers with \"220 mail\" in place of TLS"},
  };
  for (const Case& one : cases) {
    SCOPED_TRACE(one.detail);
    Play play;
    play.connected();
    const auto tell = [&](const Event& event) {
      if (std::holds_alternative<Tick>(event)) {
        play.silence();
      } else {
        play << event;
      }
    };
    tell(one.first);
    play << Connected{};
    tell(one.second);
    // No later than for a name without a route.
    while (!play.machine.finished()) play << Connected{} << kGone;
    play.expect(one.diagnosis, one.stage, one.detail);
  }
  Play gone;
  gone.connected() << Closed{} << ConnectFailed{ConnectFailed::Kind::refused, "refused"};
  gone.expect(Diagnosis::closed, ProbeStage::negotiate,
              closes +
                  ", and does not accept a second connection after a ClientHello for "
                  "\"leo.example\"");
}

TEST(ProbeMachine, OldServerBehindARouter) {
  const auto compared_with = [](const Event& third) {
    Play play;
    play.connected() << Closed{} << Connected{};
    play.at(milliseconds(7)) << kGone << Connected{} << kGone << Connected{};
    play.at(milliseconds(7)) << third;
    return play;
  };
  Play old = compared_with(kGone);
  old << Connected{} << kGone;
  old.expect(Diagnosis::router_needs_clienthello, ProbeStage::negotiate,
             "closes the connection after an SSLRequest; TLS at once reaches a server behind a "
             "router, which closes the connection: it is probably older than PostgreSQL 17");
  EXPECT_TRUE(old.machine.result().guessed);
  // One that works the second time.
  compared_with(TlsDone{facts_for("leo.example", "postgresql")})
      .expect(Diagnosis::router_needs_clienthello, ProbeStage::negotiate,
              "closes the connection after an SSLRequest, but does TLS if it comes at once");
}

// ---- direct ----------------------------------------------------------------------------------

TEST(ProbeMachine, DirectNegotiation) {
  Play play(Negotiation::direct);
  play.connected() << TlsDone{facts_for("leo.example", "postgresql")};
  play.expect(Diagnosis::ok, ProbeStage::done, "");
  EXPECT_EQ(play.actions, "resolve connect(10.0.0.1) tls(leo.example) finish");

  struct Case {
    Event event;
    Diagnosis diagnosis;
    std::string detail;
  };
  const std::vector<Case> cases = {
      {TlsDone{facts_for("leo.example")}, Diagnosis::alpn_missing,
       "does TLS at once, but without ALPN \"postgresql\""},
      {TlsDone{facts_for("leo.example", "h2")}, Diagnosis::alpn_missing,
       "does TLS at once, but without ALPN \"postgresql\""},
      {TlsDone{facts_for("*.apps.example")}, Diagnosis::route_missing,
       "a server for DNS *.apps.example answers, not one for \"leo.example\", and it does not know "
       "ALPN \"postgresql\""},
      {alert(112), Diagnosis::route_missing,
       "the router has no route for \"leo.example\" (unrecognized_name)"},
      {alert(120), Diagnosis::alpn_missing,
       "does not know ALPN \"postgresql\" (no_application_protocol)"},
      {alert(80), Diagnosis::handshake_failed,
       "the server refuses the handshake with the alert internal_error"},
      {in_place_of_tls("HTTP/1.1 400"), Diagnosis::not_postgres,
       "answers with \"HTTP/1.1 400\" in place of TLS"},
      {Tick{}, Diagnosis::no_answer, "accepts the connection and sends nothing within 9000 ms"},
  };
  for (const Case& one : cases) {
    SCOPED_TRACE(one.detail);
    Play direct(Negotiation::direct);
    direct.connected();
    if (std::holds_alternative<Tick>(one.event)) {
      direct.silence();
    } else {
      direct << one.event;
    }
    direct.expect(one.diagnosis, ProbeStage::handshake, one.detail);
    EXPECT_FALSE(direct.machine.result().guessed);
  }
}

TEST(ProbeMachine, OldServerWithoutARouter) {
  for (const char* answer : {"S", "N"}) {
    Play play(Negotiation::direct);
    play.connected() << kGone << Connected{} << Received{answer};
    play.expect(Diagnosis::backend_too_old_for_direct, ProbeStage::handshake,
                "answers an SSLRequest, but closes the connection when TLS comes at once: the "
                "server is older than PostgreSQL 17");
    EXPECT_FALSE(play.machine.result().guessed);
  }
  Play error(Negotiation::direct);
  error.connected() << kGone << Connected{} << Received{"Ewait\0"s};
  EXPECT_EQ(error.machine.result().diagnosis, Diagnosis::server_error);
}

/// How long the connection lasts in each comparison: name, control, name, control.
Play compared(std::array<Duration, 4> times, Duration way = microseconds(100),
              const std::string& host = "leo.example") {
  Play play(Negotiation::direct, seconds(9), host);
  play << Resolved{{"10.0.0.1"}};
  play.at(way) << Connected{};
  play.at(times[0]) << kGone;
  play.at(way) << Connected{} << Closed{};
  // Where four do not decide, the last two come again.
  for (std::size_t i = 1; !play.machine.finished(); i = i == 3 ? 2 : i + 1) {
    play.at(way) << Connected{};
    play.at(times[i]) << kGone;
  }
  return play;
}

TEST(ProbeMachine, RouterIsToldFromTheServerBehindIt) {
  const Duration quick = microseconds(150);
  const Duration slow = milliseconds(7);
  const std::string hello = "closes the connection after a ClientHello for \"leo.example\"";
  const std::string as_it_does = hello + ", as it does for a name without a route";
  const std::string later =
      hello +
      ", but later or otherwise than for a name without a route: the server behind the "
      "router is probably older than PostgreSQL 17";
  Play no_route = compared({quick, quick, quick, quick});
  no_route.expect(Diagnosis::route_missing, ProbeStage::handshake, as_it_does);
  EXPECT_TRUE(no_route.machine.result().guessed);
  EXPECT_EQ(no_route.actions,
            "resolve connect(10.0.0.1) tls(leo.example) connect(10.0.0.1) request "
            "connect(10.0.0.1) tls(nobody.invalid) connect(10.0.0.1) tls(leo.example) "
            "connect(10.0.0.1) tls(nobody.invalid) finish");
  Play old = compared({slow, quick, slow, quick});
  old.expect(Diagnosis::backend_too_old_for_direct, ProbeStage::handshake, later);
  EXPECT_TRUE(old.machine.result().guessed);
  // One that is slow once is not always slow.
  compared({slow, quick, quick, quick})
      .expect(Diagnosis::route_missing, ProbeStage::handshake, as_it_does);
  compared({slow, slow, slow, quick})
      .expect(Diagnosis::backend_too_old_for_direct, ProbeStage::handshake, later);
  compared({slow, slow, slow, slow})
      .expect(Diagnosis::route_missing, ProbeStage::handshake, as_it_does);
  // A long way is no difference, nor does it hide one.
  const Duration way = milliseconds(40);
  compared({way + quick, way + quick, way + quick, way + quick}, way)
      .expect(Diagnosis::route_missing, ProbeStage::handshake, as_it_does);
  compared({way + slow, way + quick, way + slow, way + quick}, way)
      .expect(Diagnosis::backend_too_old_for_direct, ProbeStage::handshake, later);
  compared({quick, quick, quick, quick}, way, "10.0.0.7")
      .expect(Diagnosis::route_missing, ProbeStage::handshake,
              "closes the connection after a ClientHello without a name, as it does for a name "
              "without a route");
}

TEST(ProbeMachine, ComparisonThatDoesNotCompare) {
  const auto until_control = [] {
    Play play(Negotiation::direct);
    play.connected() << kGone << Connected{} << Closed{} << Connected{};
    return play;
  };
  // Whatever else becomes of the other name: it is treated otherwise.
  for (const Event& other : {Event(alert(112)), Event(TlsDone{facts_for("x")})}) {
    Play play = until_control();
    play << other;
    EXPECT_EQ(play.machine.result().diagnosis, Diagnosis::backend_too_old_for_direct);
    EXPECT_TRUE(play.machine.result().guessed);
  }
  Play silent = until_control();
  silent.silence();
  EXPECT_EQ(silent.machine.result().diagnosis, Diagnosis::backend_too_old_for_direct);
  Play gone = until_control();
  gone << kGone << ConnectFailed{};
  EXPECT_EQ(gone.machine.result().diagnosis, Diagnosis::route_missing);
  // The name itself works the second time.
  Play back = until_control();
  back << kGone << Connected{} << TlsDone{facts_for("leo.example", "postgresql")};
  back.expect(Diagnosis::ok, ProbeStage::done, "");
  Play no_request(Negotiation::direct);
  no_request.connected() << kGone << ConnectFailed{};
  EXPECT_FALSE(no_request.machine.finished());
  no_request << ConnectFailed{};
  no_request.expect(Diagnosis::route_missing, ProbeStage::handshake,
                    "closes the connection after a ClientHello for \"leo.example\"");
}

}  // namespace
}  // namespace pgfed::core
