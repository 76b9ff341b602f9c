#include <gtest/gtest.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include <atomic>

#include "pgfed/core/wire.hpp"
#include "pgfed/net/byte_meter.hpp"
#include "pgfed/net/transport.hpp"

#include "net_peers.hpp"

/// The transport against peers that behave badly. (Real servers: net_server_test.cpp.)
namespace pgfed::net {
namespace {

using core::FailureKind;
using core::Stage;
using net_test::Drill;
using net_test::FakeServer;

const Keywords kPlain = {{"user", "peer"}, {"sslmode", "disable"}};
const Keywords kTls = {{"user", "peer"}, {"sslmode", "require"}};

void expect(const std::optional<core::SessionFailed>& failed, Stage stage, FailureKind kind,
            const std::string& message) {
  ASSERT_TRUE(failed);
  EXPECT_EQ(core::word(failed->failure.stage), core::word(stage));
  EXPECT_EQ(static_cast<int>(failed->failure.kind), static_cast<int>(kind));
  EXPECT_EQ(failed->failure.message.str(), message);
}

core::Report sample_report() {
  core::Report report;
  report.node = "leo";
  report.federation = "f";
  report.incarnation.bytes[0] = 1;
  report.facts.role = core::Role::primary;
  return report;
}

std::string as_text(const std::vector<std::uint8_t>& bytes) { return {bytes.begin(), bytes.end()}; }

/// The answer to the exchange: a row with this value.
std::string row(const std::string& value) {
  return net_test::message(
      'D', net_test::be16(1) + net_test::be32(static_cast<std::uint32_t>(value.size())) + value);
}

std::string complete() {
  return net_test::message('C', std::string("SELECT 1") + '\0') + net_test::message('Z', "I");
}

/// Keeps the connection until the other side closes it.
void hold(int socket) {
  while (!net_test::receive_some(socket).empty()) {
  }
}

/// Of this process so far, in kB.
long peak_memory() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return usage.ru_maxrss;
}

TEST(NetTransport, NobodyListens) {
  Drill drill(kPlain);
  const core::Attempt attempt = drill.dial("127.0.0.1", net_test::free_port());
  expect(drill.next<core::SessionFailed>(attempt), Stage::connect, FailureKind::network,
         "Connection refused");
  EXPECT_EQ(drill.stages(attempt), "connect");
}

TEST(NetTransport, NameThatDoesNotExist) {
  Drill drill(kPlain);
  const core::Attempt attempt = drill.dial("nobody.invalid", 5432);
  const auto failed = drill.next<core::SessionFailed>(attempt);
  ASSERT_TRUE(failed);
  EXPECT_EQ(core::word(failed->failure.stage), "resolve");
  EXPECT_NE(failed->failure.message.str().find("could not translate host name"), std::string::npos);
}

TEST(NetTransport, GoesOnToTheNextAddress) {
  FakeServer server([](int socket) {
    if (net_test::log_in(socket)) hold(socket);
  });
  Drill drill(kPlain);
  const core::Attempt attempt =
      drill.dial("localhost", server.port(), "hostaddr=127.0.0.9,127.0.0.1");
  EXPECT_TRUE(drill.next<core::SessionOpened>(attempt));
}

TEST(NetTransport, RefusesAHostaddrThatIsNone) {
  Drill drill(kPlain);
  expect(drill.next<core::SessionFailed>(drill.dial("a", 1, "hostaddr=nowhere")), Stage::resolve,
         FailureKind::network, "hostaddr of node \"peer\" is no numeric address");
}

TEST(NetTransport, SaysWhichParameterLibpqLacks) {
  Drill drill(kPlain);
  const auto failed =
      drill.next<core::SessionFailed>(drill.dial("127.0.0.1", 1, "of_the_future=1"));
  ASSERT_TRUE(failed);
  EXPECT_NE(failed->failure.message.str().find("does not know \"of_the_future\""),
            std::string::npos);
  expect(drill.next<core::SessionFailed>(drill.dial("127.0.0.1", 1, "x='")), Stage::connect,
         FailureKind::network, "options of node \"peer\" could not be parsed");
}

TEST(NetTransport, ExchangesReports) {
  const std::vector<std::uint8_t> bytes = core::encode(sample_report());
  FakeServer server([&](int socket) {
    if (!net_test::log_in(socket)) return;
    // Parameters change and notifications come at any time.
    while (!net_test::receive_some(socket).empty()) {
      const std::string changed = std::string("a") + '\0' + "b" + '\0';
      const std::string notified = net_test::be32(1) + "channel" + '\0' + "payload" + '\0';
      net_test::send_all(socket, net_test::message('S', changed) +
                                     net_test::message('A', notified) +
                                     net_test::row_description() + row(as_text(bytes)) +
                                     complete() + net_test::message('A', notified));
    }
  });
  Drill drill(kPlain);
  const core::Attempt attempt = drill.dial("127.0.0.1", server.port());
  const auto opened = drill.next<core::SessionOpened>(attempt);
  ASSERT_TRUE(opened);
  EXPECT_EQ(opened->info.server_version, 150009U);
  EXPECT_TRUE(opened->info.tls_protocol.empty());
  for (int i = 0; i < 3; ++i) {
    const core::RequestId request = drill.ask(attempt, bytes);
    const auto reply = drill.next<core::ReplyReceived>(attempt);
    ASSERT_TRUE(reply);
    EXPECT_EQ(reply->request, request);
    EXPECT_EQ(reply->report, sample_report());
  }
  EXPECT_EQ(drill.stages(attempt), "connect>authenticate>query");
  drill.hangup(attempt);
  EXPECT_EQ(drill.descriptors, 2);
}

TEST(NetTransport, SaysFirstThatNoTransactionTimesOut) {
  std::atomic<bool> asked = false;
  FakeServer server([&](int socket) {
    if (net_test::receive_some(socket).empty()) return;
    const std::string version = std::string("server_version") + '\0' + "17.1" + '\0';
    net_test::send_all(socket, net_test::message('R', net_test::be32(0)) +
                                   net_test::message('S', version) + net_test::message('Z', "I"));
    asked = net_test::receive_some(socket).find("SET transaction_timeout = 0") != std::string::npos;
    net_test::send_all(
        socket, net_test::message('C', std::string("SET") + '\0') + net_test::message('Z', "I"));
    hold(socket);
  });
  Drill drill(kPlain);
  const auto opened = drill.next<core::SessionOpened>(drill.dial("127.0.0.1", server.port()));
  ASSERT_TRUE(opened);
  EXPECT_EQ(opened->info.server_version, 170001U);
  EXPECT_TRUE(asked);
}

TEST(NetTransport, ASilentServerDelaysNobody) {
  FakeServer silent(hold);
  FakeServer good([](int socket) {
    if (net_test::log_in(socket)) hold(socket);
  });
  for (const Keywords& keywords : {kPlain, kTls}) {
    Drill drill(keywords);
    const core::Attempt stuck = drill.dial("127.0.0.1", silent.port());
    if (keywords == kPlain) {
      const core::Attempt quick = drill.dial("127.0.0.1", good.port());
      EXPECT_TRUE(drill.next<core::SessionOpened>(quick));
    }
    EXPECT_FALSE(drill.run_until([&] { return !drill.events.empty(); }, core::milliseconds(100)));
    EXPECT_EQ(drill.stages(stuck), keywords == kPlain ? "connect>authenticate" : "connect>tls");
    const core::Instant before = net_test::boot_now();
    drill.hangup(stuck);
    EXPECT_LT(core::age(before, net_test::boot_now()), core::milliseconds(100));
    EXPECT_FALSE(drill.run_until([&] { return !drill.events.empty(); }, core::milliseconds(20)));
    EXPECT_LT(drill.longest_run, core::milliseconds(200));
  }
}

TEST(NetTransport, Garbage) {
  FakeServer server([](int socket) {
    net_test::receive_some(socket);
    net_test::send_all(socket, "HTTP/1.1 400 Bad Request\r\n\r\n");
  });
  Drill plain(kPlain);
  const auto failed = plain.next<core::SessionFailed>(plain.dial("127.0.0.1", server.port()));
  ASSERT_TRUE(failed);
  EXPECT_EQ(core::word(failed->failure.stage), "authenticate");
  EXPECT_EQ(static_cast<int>(failed->failure.kind), static_cast<int>(FailureKind::protocol));
  Drill tls(kTls);
  expect(tls.next<core::SessionFailed>(tls.dial("127.0.0.1", server.port())), Stage::tls,
         FailureKind::protocol, "received invalid response to SSL negotiation: H");
}

TEST(NetTransport, AServerThatWantsKerberosDelaysNobody) {
  FakeServer server([](int socket) {
    net_test::receive_some(socket);
    net_test::send_all(socket, net_test::message('R', net_test::be32(7)));
    hold(socket);
  });
  Drill drill(kPlain);
  const auto failed = drill.next<core::SessionFailed>(
      drill.dial("leo.example.org", server.port(), "hostaddr=127.0.0.1"));
  ASSERT_TRUE(failed);
  EXPECT_EQ(core::word(failed->failure.stage), "authenticate");
  EXPECT_EQ(static_cast<int>(failed->failure.kind), static_cast<int>(FailureKind::rejected));
  EXPECT_LT(drill.longest_run, core::milliseconds(200));
}

TEST(NetTransport, ServerWithoutTls) {
  FakeServer server([](int socket) {
    net_test::receive_some(socket);
    net_test::send_all(socket, "N");
    hold(socket);
  });
  Drill drill(kTls);
  expect(drill.next<core::SessionFailed>(drill.dial("127.0.0.1", server.port())), Stage::tls,
         FailureKind::tls, "server does not support SSL, but SSL was required");
}

/// A server that logs everybody in and answers the first request with these bytes.
class NetBadReply : public testing::TestWithParam<std::pair<const char*, std::string>> {};

TEST_P(NetBadReply, IsNoReport) {
  FakeServer server([](int socket) {
    if (!net_test::log_in(socket) || net_test::receive_some(socket).empty()) return;
    net_test::send_all(socket, GetParam().second);
    hold(socket);
  });
  Drill drill(kPlain);
  const core::Attempt attempt = drill.dial("127.0.0.1", server.port());
  ASSERT_TRUE(drill.next<core::SessionOpened>(attempt));
  drill.ask(attempt, "x");
  const auto failed = drill.next<core::SessionFailed>(attempt);
  ASSERT_TRUE(failed);
  EXPECT_EQ(core::word(failed->failure.stage), "query");
  EXPECT_EQ(static_cast<int>(failed->failure.kind), static_cast<int>(FailureKind::protocol))
      << failed->failure.message.view();
  EXPECT_FALSE(failed->failure.message.empty());
  EXPECT_EQ(drill.descriptors, 2);
}

INSTANTIATE_TEST_SUITE_P(
    Kinds, NetBadReply,
    testing::Values(
        std::pair("garbage", net_test::row_description() + row("garbage") + complete()),
        std::pair("empty", net_test::row_description() + row("") + complete()),
        std::pair("null", net_test::row_description() +
                              net_test::message('D', net_test::be16(1) + net_test::be32(~0U)) +
                              complete()),
        std::pair("two", net_test::row_description() + row("a") + row("b") + complete()),
        std::pair("none", net_test::row_description() + complete()),
        std::pair("no_columns", net_test::message('1', "") + net_test::message('2', "") +
                                    net_test::message('n', "") + complete()),
        std::pair("ready", net_test::message('Z', "I")),
        std::pair("copy", net_test::message('G', std::string(1, '\0') + net_test::be16(0))),
        std::pair("unknown", net_test::message('x', "abc") + std::string(64, 'x')),
        std::pair("short_row",
                  net_test::row_description() + net_test::message('D', "") + complete())),
    [](const auto& one) { return std::string(one.param.first); });

TEST(NetTransport, DiesInTheMiddleOfAReply) {
  FakeServer server([](int socket) {
    if (!net_test::log_in(socket) || net_test::receive_some(socket).empty()) return;
    const std::string reply = net_test::row_description() + row(std::string(1000, 'x'));
    net_test::send_all(socket, reply.substr(0, reply.size() - 500));
  });
  Drill drill(kPlain);
  const core::Attempt attempt = drill.dial("127.0.0.1", server.port());
  ASSERT_TRUE(drill.next<core::SessionOpened>(attempt));
  drill.ask(attempt, "x");
  expect(drill.next<core::SessionFailed>(attempt), Stage::query, FailureKind::network,
         "server closed the connection unexpectedly");
}

TEST(NetTransport, AnIdleSessionThatEndsIsNoticed) {
  FakeServer server([](int socket) { net_test::log_in(socket); });
  Drill drill(kPlain);
  const core::Attempt attempt = drill.dial("127.0.0.1", server.port());
  ASSERT_TRUE(drill.next<core::SessionOpened>(attempt));
  expect(drill.next<core::SessionFailed>(attempt), Stage::query, FailureKind::network,
         "server closed the connection unexpectedly");
}

/// Claims 500 MB, waits until that is known, and sends as fast as it can.
void send_huge_row(int socket) {
  constexpr std::uint32_t kClaim = 500U << 20U;
  net_test::send_all(socket, net_test::row_description() + "D" + net_test::be32(kClaim + 10) +
                                 net_test::be16(1) + net_test::be32(kClaim));
  pollfd gone{.fd = socket, .events = POLLRDHUP, .revents = 0};
  poll(&gone, 1, 20);
  const std::string chunk(16384, 'x');
  while (net_test::send_all(socket, chunk)) {
  }
}

TEST(NetTransport, HugeRow) {
  FakeServer server([&](int socket) {
    if (net_test::log_in(socket) && !net_test::receive_some(socket).empty()) send_huge_row(socket);
  });
  Drill drill(kPlain);
  const core::Attempt attempt = drill.dial("127.0.0.1", server.port());
  ASSERT_TRUE(drill.next<core::SessionOpened>(attempt));
  const long before = peak_memory();
  drill.ask(attempt, "x");
  expect(drill.next<core::SessionFailed>(attempt), Stage::query, FailureKind::protocol,
         "reply is larger than 192 kB");
  if (memory_in_use() == 0) GTEST_SKIP() << "this allocator does not say how much is in use";
  EXPECT_LT(peak_memory() - before, 4096);
  EXPECT_LT(drill.longest_run, core::milliseconds(100));
}

TEST(NetTransport, HugeNotice) {
  for (const bool login : {true, false}) {
    std::atomic<bool> opened = false;
    FakeServer server([&](int socket) {
      if (login) {
        net_test::receive_some(socket);
        net_test::send_all(socket, net_test::message('R', net_test::be32(0)));
      } else if (!net_test::log_in(socket)) {
        return;
      }
      if (!login) opened.wait(false);
      net_test::send_all(socket, "N" + net_test::be32(500U << 20U) + "SWARNING");
      const std::string chunk(16384, 'x');
      while (net_test::send_all(socket, chunk)) {
      }
    });
    Drill drill(kPlain);
    const core::Attempt attempt = drill.dial("127.0.0.1", server.port());
    if (!login) {
      ASSERT_TRUE(drill.next<core::SessionOpened>(attempt));
    }
    opened = true;
    opened.notify_all();
    expect(drill.next<core::SessionFailed>(attempt), login ? Stage::authenticate : Stage::query,
           FailureKind::protocol,
           login ? "login is larger than 192 kB" : "server sent unasked more than 64 kB");
  }
}

TEST(NetTransport, EndlessNotices) {
  const std::string notice =
      net_test::message('N', std::string("SWARNING") + '\0' + "VWARNING" + '\0' + "C01000" + '\0' +
                                 "Mx" + '\0' + '\0');
  for (const std::string when : {"login", "idle", "asking"}) {
    FakeServer server([&](int socket) {
      if (when == "login") {
        net_test::receive_some(socket);
        net_test::send_all(socket, net_test::message('R', net_test::be32(0)));
      } else if (!net_test::log_in(socket)) {
        return;
      }
      if (when == "asking" && net_test::receive_some(socket).empty()) return;
      std::string many;
      for (int i = 0; i < 1000; ++i) many += notice;
      while (net_test::send_all(socket, many)) {
      }
    });
    Drill drill(kPlain);
    const core::Attempt attempt = drill.dial("127.0.0.1", server.port());
    if (when == "asking") {
      ASSERT_TRUE(drill.next<core::SessionOpened>(attempt));
      drill.ask(attempt, "x");
    }
    const auto failed = drill.next<core::SessionFailed>(attempt);
    ASSERT_TRUE(failed) << when;
    EXPECT_EQ(static_cast<int>(failed->failure.kind), static_cast<int>(FailureKind::protocol));
    EXPECT_NE(failed->failure.message.str().find(" kB"), std::string::npos);
    EXPECT_LT(drill.longest_run, core::milliseconds(100)) << when;
  }
}

TEST(NetTransport, WhatTheServerSaysIsPrintable) {
  FakeServer server([](int socket) {
    net_test::receive_some(socket);
    net_test::send_all(
        socket, net_test::message('E', std::string("SFATAL") + '\0' + "VFATAL" + '\0' + "C28000" +
                                           '\0' + "M\x1b[2Jgo\xff away\nnow" + '\0' + '\0'));
  });
  Drill drill(kPlain);
  const core::Attempt attempt = drill.dial("127.0.0.1", server.port());
  expect(drill.next<core::SessionFailed>(attempt), Stage::authenticate, FailureKind::rejected,
         " [2Jgo? away");
}

TEST(NetTransport, AsksThatComeTooLateOrTooEarly) {
  FakeServer server([](int socket) {
    if (net_test::log_in(socket)) hold(socket);
  });
  Drill drill(kPlain);
  drill.ask(99, "nobody's");
  const core::Attempt attempt = drill.dial("127.0.0.1", server.port());
  ASSERT_TRUE(drill.next<core::SessionOpened>(attempt));
  drill.ask(attempt, "x");
  drill.ask(attempt, "y");
  EXPECT_EQ(drill.transport.next_deadline(), core::kNever);
  expect(drill.next<core::SessionFailed>(attempt), Stage::query, FailureKind::protocol,
         "session is not ready for a request");
  drill.ask(attempt, "z");
  drill.hangup(attempt);
  drill.hangup(12345);
  drill.transport.hangup_all();
  EXPECT_FALSE(drill.run_until([&] { return !drill.events.empty(); }, core::milliseconds(20)));
}

TEST(NetTransport, HangsUpOnAPeerThatReadsNothing) {
  std::atomic<bool> over = false;
  FakeServer server([&](int socket) {
    int small = 1024;
    setsockopt(socket, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
    if (!net_test::log_in(socket)) return;
    over.wait(false);
  });
  Drill drill(kPlain);
  const core::Attempt attempt = drill.dial("127.0.0.1", server.port());
  ASSERT_TRUE(drill.next<core::SessionOpened>(attempt));
  drill.ask(attempt, std::vector<std::uint8_t>(16U << 20U, 'x'));
  EXPECT_FALSE(drill.run_until([&] { return !drill.events.empty(); }, core::milliseconds(100)));
  const core::Instant before = net_test::boot_now();
  drill.hangup(attempt);
  EXPECT_LT(core::age(before, net_test::boot_now()), core::milliseconds(100));
  over = true;
  over.notify_all();
}

TEST(NetTransport, ManyPeersAtOnce) {
  const std::vector<std::uint8_t> bytes = core::encode(sample_report());
  std::vector<std::unique_ptr<FakeServer>> servers;
  servers.reserve(100);
  for (int i = 0; i < 100; ++i) {
    servers.push_back(std::make_unique<FakeServer>([&](int socket) {
      if (!net_test::log_in(socket)) return;
      while (!net_test::receive_some(socket).empty()) {
        net_test::send_all(socket, net_test::row_description() + row(as_text(bytes)) + complete());
      }
    }));
  }
  Drill drill(kPlain);
  std::vector<core::Attempt> attempts;
  attempts.reserve(servers.size());
  for (const auto& server : servers) attempts.push_back(drill.dial("127.0.0.1", server->port()));
  for (const core::Attempt attempt : attempts) {
    ASSERT_TRUE(drill.next<core::SessionOpened>(attempt));
    drill.ask(attempt, bytes);
  }
  for (const core::Attempt attempt : attempts) {
    ASSERT_TRUE(drill.next<core::ReplyReceived>(attempt));
  }
  EXPECT_EQ(drill.descriptors, 102);
  drill.transport.hangup_all();
  EXPECT_EQ(drill.descriptors, 2);
}

}  // namespace
}  // namespace pgfed::net
