#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <thread>

#include "pgfed/net/prober.hpp"

#include "net_peers.hpp"
#include "net_tls_peers.hpp"

/// The prober against what else may listen at a port, and routers in between.
namespace pgfed::net {
namespace {

using core::Diagnosis;
using core::ProbeResult;
using core::ProbeStage;
using net_test::Authority;
using net_test::Credential;
using net_test::FakeServer;
using net_test::ProbeDrill;

constexpr const char* kHere = "127.0.0.1";

// ---- other servers ---------------------------------------------------------------------------

TEST(NetProber, ServersThatAreNoPostgres) {
  const Authority our;
  const Credential leaf = our.server();
  ProbeDrill drill(our.conninfo());
  net_test::expect_result(drill.probe(kHere, net_test::free_port()), Diagnosis::tcp_refused,
                          ProbeStage::connect, "Connection refused");
  net_test::expect_result(drill.probe("nobody.invalid", 1), Diagnosis::unresolved,
                          ProbeStage::resolve, "nobody.invalid");
  net_test::expect_result(drill.probe(kHere, 1, "hostaddr=nowhere"), Diagnosis::unresolved,
                          ProbeStage::resolve, "hostaddr of the endpoint is no numeric address");
  net_test::expect_result(drill.probe(kHere, 1, "x='"), Diagnosis::unresolved, ProbeStage::resolve,
                          "options of the endpoint");

  const auto answering = [](const std::string& answer) {
    return [answer](int socket) {
      if (net_test::take_ssl_request(socket) && net_test::send_all(socket, answer)) {
        net_test::hold(socket);
      }
    };
  };
  struct Case {
    std::function<void(int)> serve;
    Diagnosis diagnosis;
    ProbeStage stage;
    std::string words;
  };
  const std::vector<Case> cases = {
      {answering("N"), Diagnosis::plaintext_only, ProbeStage::negotiate, "no TLS"},
      {answering(std::string("Etoo many\n\0", 11)), Diagnosis::server_error, ProbeStage::negotiate,
       "\"too many\""},
      {answering("HTTP/1.1 400"), Diagnosis::not_postgres, ProbeStage::negotiate, "HTTP/1.1 400"},
      {answering("SSH-2.0-x"), Diagnosis::not_postgres, ProbeStage::negotiate, "SSH-2.0-x"},
      {answering("Ssurplus"), Diagnosis::handshake_failed, ProbeStage::handshake,
       "unencrypted data"},
      {net_test::tls_server({.credential = &leaf}), Diagnosis::not_postgres, ProbeStage::negotiate,
       "answered by a server for DNS localhost, IP 127.0.0.1 that does not know PostgreSQL's"},
      {net_test::tls_server({.credential = &leaf, .alpn = true}),
       Diagnosis::router_needs_clienthello, ProbeStage::negotiate, "does TLS if it comes at once"},
      {[](int) {}, Diagnosis::closed, ProbeStage::negotiate,
       "and closes the connection after a ClientHello without a name"},
      {[](int socket) { net_test::take_ssl_request(socket) && net_test::send_all(socket, "S"); },
       Diagnosis::handshake_failed, ProbeStage::handshake, "closes the connection during"},
  };
  for (const Case& one : cases) {
    SCOPED_TRACE(one.words);
    FakeServer server(one.serve);
    net_test::expect_result(drill.probe(kHere, server.port()), one.diagnosis, one.stage, one.words);
  }
  FakeServer old(net_test::postgres_server(
      {.credential = &leaf, .min_protocol = 0, .max_protocol = TLS1_1_VERSION}));
  net_test::expect_result(drill.probe(kHere, old.port()), Diagnosis::handshake_failed,
                          ProbeStage::handshake, "the server offers no protocol from TLSv1.2 on");
}

TEST(NetProber, SilentServers) {
  const Authority our;
  ProbeDrill drill(our.conninfo());
  FakeServer silent(net_test::hold);
  const core::Instant begun = net_test::boot_now();
  net_test::expect_result(drill.probe(kHere, silent.port(), "", core::milliseconds(600)),
                          Diagnosis::no_answer, ProbeStage::negotiate,
                          "sends nothing after a ClientHello");
  EXPECT_LT(net_test::boot_now() - begun, core::milliseconds(900));
  net_test::expect_result(
      drill.probe(kHere, silent.port(), "sslnegotiation=direct", core::milliseconds(300)),
      Diagnosis::no_answer, ProbeStage::handshake, "sends nothing within 300 ms");
  FakeServer stuck([](int socket) {
    if (net_test::take_ssl_request(socket) && net_test::send_all(socket, "S")) {
      net_test::hold(socket);
    }
  });
  net_test::expect_result(drill.probe(kHere, stuck.port(), "", core::milliseconds(300)),
                          Diagnosis::handshake_failed, ProbeStage::handshake, "within 300 ms");
}

TEST(NetProber, HostileServers) {
  const Authority our;
  ProbeDrill drill(our.conninfo());
  const auto then = [](const std::string& first, const std::string& repeated) {
    return [=](int socket) {
      if (!net_test::take_ssl_request(socket) || !net_test::send_all(socket, "S")) return;
      net_test::receive_some(socket);
      bool more = net_test::send_all(socket, first);
      while (more && !repeated.empty()) more = net_test::send_all(socket, repeated);
      if (more) net_test::hold(socket);
    };
  };
  const std::string noise(8000, '\xA5');
  // Records of a handshake message that claims 16 MB (its certificate).
  const std::string record = std::string("\x16\x03\x03\x40\x00", 5) + std::string(16384, '\0');
  std::string huge = record;
  huge.replace(5, 4, "\x02\xff\xff\xff");
  // Change-cipher-spec records are ignored by TLS 1.3, to a point.
  const std::string idle = std::string("\x14\x03\x03\x00\x01\x01", 6);
  const std::vector<std::function<void(int)>> servers = {
      then(noise, ""), then(noise, noise), then(huge, record), then("", idle),
      then(std::string("\x16\x03\x03\x00\x04\x02\x00\x00", 8), "")};
  for (const auto& serve : servers) {
    FakeServer server(serve);
    const ProbeResult result = drill.probe(kHere, server.port(), "", core::milliseconds(1500));
    EXPECT_TRUE(result.diagnosis == Diagnosis::handshake_failed ||
                result.diagnosis == Diagnosis::not_postgres)
        << core::word(result.diagnosis);
    EXPECT_FALSE(result.detail.empty());
  }
  EXPECT_LT(drill.longest_run, core::milliseconds(100));
  EXPECT_EQ(drill.descriptors, 2);
}

// ---- direct negotiation, and routers ---------------------------------------------------------

TEST(NetProber, DirectNegotiation) {
  const Authority our;
  const Credential leaf = our.server();
  const Credential www = our.server({.alt_names = "DNS:www.example"});
  ProbeDrill drill(our.conninfo());
  FakeServer good(net_test::tls_server({.credential = &leaf, .alpn = true}));
  const ProbeResult result = drill.probe(kHere, good.port(), "sslnegotiation=direct");
  net_test::expect_result(result, Diagnosis::ok, ProbeStage::done, "");
  EXPECT_EQ(result.alpn, "postgresql");
  EXPECT_EQ(result.negotiation, core::Negotiation::direct);
  FakeServer plain(net_test::tls_server({.credential = &leaf}));
  net_test::expect_result(drill.probe(kHere, plain.port(), "sslnegotiation=direct"),
                          Diagnosis::alpn_missing, ProbeStage::handshake, "without ALPN");
  FakeServer other(net_test::tls_server({.credential = &www}));
  net_test::expect_result(drill.probe(kHere, other.port(), "sslnegotiation=direct"),
                          Diagnosis::route_missing, ProbeStage::handshake, "DNS www.example");
  // PostgreSQL 16: takes an SSLRequest for what it is, and a ClientHello for nonsense.
  FakeServer old([serve = net_test::postgres_server({.credential = &leaf})](int socket) {
    const std::string first = net_test::peek_some(socket);
    if (!first.empty() && first[0] == '\0') serve(socket);
  });
  const ProbeResult too_old = drill.probe(kHere, old.port(), "sslnegotiation=direct");
  net_test::expect_result(too_old, Diagnosis::backend_too_old_for_direct, ProbeStage::handshake,
                          "older than PostgreSQL 17");
  EXPECT_FALSE(too_old.guessed);
  EXPECT_EQ(drill.probe(kHere, old.port()).diagnosis, Diagnosis::ok);
}

/// A passthrough router: it looks at the name in the ClientHello, and closes what has no route.
std::function<void(int)> router(const std::string& name, std::function<void(int)> serve) {
  return [name, serve = std::move(serve)](int socket) {
    const std::string hello = net_test::peek_some(socket);
    if (hello.empty() || hello[0] != 0x16) return;
    if (net_test::server_name_in(hello) == name) serve(socket);
  };
}

TEST(NetProber, Routers) {
  const Authority our;
  const Credential leaf = our.server();
  ProbeDrill drill(our.conninfo());
  const auto serve = net_test::tls_server({.credential = &leaf, .alpn = true});
  FakeServer routed(router("localhost", serve));
  const std::string direct = "sslnegotiation=direct hostaddr=127.0.0.1";
  net_test::expect_result(drill.probe("localhost", routed.port(), direct), Diagnosis::ok,
                          ProbeStage::done, "");
  net_test::expect_result(drill.probe("localhost", routed.port()),
                          Diagnosis::router_needs_clienthello, ProbeStage::negotiate,
                          "closes the connection after an SSLRequest, but does TLS");
  const ProbeResult unnamed = drill.probe("localhost", routed.port(), direct + " sslsni=0");
  net_test::expect_result(unnamed, Diagnosis::route_missing, ProbeStage::handshake,
                          "ClientHello without a name");
  const ProbeResult missing = drill.probe("pit.example", routed.port(), direct);
  net_test::expect_result(
      missing, Diagnosis::route_missing, ProbeStage::handshake,
      "closes the connection after a ClientHello for \"pit.example\", as it does");
  EXPECT_TRUE(missing.guessed);
  // What an old server behind it takes to say no.
  FakeServer old(router("localhost", [](int socket) {
    net_test::receive_some(socket);
    std::this_thread::sleep_for(core::milliseconds(15));
  }));
  const ProbeResult too_old = drill.probe("localhost", old.port(), direct);
  net_test::expect_result(too_old, Diagnosis::backend_too_old_for_direct, ProbeStage::handshake,
                          "probably older");
  EXPECT_TRUE(too_old.guessed);
}

TEST(NetProber, RouterThatWaitsForAClientHello) {
  const Authority our;
  const Credential leaf = our.server();
  const auto serve = net_test::tls_server({.credential = &leaf, .alpn = true});
  FakeServer waiting([&](int socket) {
    const std::string hello = net_test::peek_some(socket);
    if (!hello.empty() && hello[0] == 0x16) {
      serve(socket);
    } else {
      net_test::hold(socket);
    }
  });
  ProbeDrill drill(our.conninfo());
  net_test::expect_result(drill.probe(kHere, waiting.port(), "", core::milliseconds(900)),
                          Diagnosis::router_needs_clienthello, ProbeStage::negotiate,
                          "does not answer an SSLRequest, but does TLS if it comes at once");
}

// ---- many ------------------------------------------------------------------------------------

TEST(NetProber, HundredEndpointsTakeNoTime) {
  const Authority our;
  const Credential leaf = our.server();
  std::vector<std::unique_ptr<FakeServer>> servers;
  for (int i = 0; i < 10; ++i) {
    servers.push_back(
        std::make_unique<FakeServer>(net_test::postgres_server({.credential = &leaf})));
  }
  ProbeDrill drill(our.conninfo());
  const core::Instant begun = net_test::boot_now();
  for (std::size_t i = 0; i < 100; ++i) drill.begin(kHere, servers[i % 10]->port());
  ASSERT_TRUE(drill.run_until(100, core::seconds(15)));
  const core::Duration took = net_test::boot_now() - begun;
  for (const auto& [id, result] : drill.results) {
    EXPECT_EQ(core::word(result.diagnosis), core::word(Diagnosis::ok)) << result.detail;
  }
  RecordProperty("took_us", std::to_string(took.count()));
  RecordProperty("longest_run_us", std::to_string(drill.longest_run.count()));
  EXPECT_LT(took, core::seconds(2));
#ifndef __SANITIZE_ADDRESS__
  EXPECT_LT(drill.longest_run, core::milliseconds(20));
#endif
  EXPECT_EQ(drill.descriptors, 2);
  EXPECT_EQ(drill.prober.next_deadline(), core::kForever);
}

TEST(NetProber, CancelledOnesAreNotToldOf) {
  const Authority our;
  FakeServer silent(net_test::hold);
  ProbeDrill drill(our.conninfo());
  const core::ProbeId first = drill.begin(kHere, silent.port());
  const core::ProbeId second = drill.begin(kHere, net_test::free_port());
  drill.prober.cancel(first);
  EXPECT_EQ(drill.end(second).diagnosis, Diagnosis::tcp_refused);
  for (int i = 0; i < 40; ++i) drill.begin(kHere, silent.port());
  drill.run_until(1, core::milliseconds(20));
  drill.prober.cancel_all();
  EXPECT_EQ(drill.prober.next_deadline(), core::kForever);
  EXPECT_EQ(drill.descriptors, 2);
  EXPECT_TRUE(drill.results.empty());
}

TEST(NetProber, RunsOutOfDescriptors) {
#ifdef __SANITIZE_ADDRESS__
  GTEST_SKIP() << "the sanitizers need descriptors themselves";
#endif
  const Authority our;
  ProbeDrill drill(our.conninfo());
  rlimit before{};
  ASSERT_EQ(getrlimit(RLIMIT_NOFILE, &before), 0);
  rlimit few = before;
  few.rlim_cur = std::min<rlim_t>(256, before.rlim_cur);
  ASSERT_EQ(setrlimit(RLIMIT_NOFILE, &few), 0);
  std::vector<int> all;
  all.reserve(few.rlim_cur);
  for (int one = dup(0); one >= 0; one = dup(0)) all.push_back(one);
  const ProbeResult result = drill.probe(kHere, 1);
  for (const int one : all) close(one);
  setrlimit(RLIMIT_NOFILE, &before);
  net_test::expect_result(result, Diagnosis::unknown, ProbeStage::connect, "Too many open files");
  EXPECT_EQ(drill.descriptors, 2);
}

}  // namespace
}  // namespace pgfed::net
