#include <gtest/gtest.h>

#include "pgfed/net/failure.hpp"

namespace pgfed::net {
namespace {

using core::FailureKind;
using core::Stage;

constexpr const char* kTo = "connection to server at \"leo\" (10.0.0.1), port 5432 failed: ";

void expect(const core::Failure& failure, Stage stage, FailureKind kind, const std::string& message,
            const std::string& sqlstate = "") {
  EXPECT_EQ(core::word(failure.stage), core::word(stage));
  EXPECT_EQ(static_cast<int>(failure.kind), static_cast<int>(kind));
  EXPECT_EQ(failure.message.str(), message);
  EXPECT_EQ(failure.sqlstate.str(), sqlstate);
}

core::Failure failed(Stage stage, const std::string& text) {
  return connect_failure(stage, kTo + text);
}

TEST(NetFailure, LeavesWhatColumnsSayOut) {
  expect(failed(Stage::connect,
                "Connection refused\n\tIs the server running on that host and accepting TCP/IP "
                "connections?\n"),
         Stage::connect, FailureKind::network, "Connection refused");
}

TEST(NetFailure, TakesTheLastOfSeveralAddresses) {
  expect(connect_failure(Stage::connect,
                         "connection to server at \"localhost\" (::1), port 1 failed: Connection "
                         "refused\n\tIs the server running on that host?\n"
                         "connection to server at \"localhost\" (127.0.0.1), port 1 failed: No "
                         "route to host\n"),
         Stage::connect, FailureKind::network, "No route to host");
}

TEST(NetFailure, FindsTheSqlstate) {
  const auto login = [](const std::string& text) { return failed(Stage::authenticate, text); };
  expect(login("FATAL:  53300: sorry, too many clients already\nLOCATION:  InitProcess\n"),
         Stage::authenticate, FailureKind::crowded, "sorry, too many clients already", "53300");
  expect(login("FATAL:  57P03: the database system is starting up\n"), Stage::authenticate,
         FailureKind::starting, "the database system is starting up", "57P03");
  expect(login("FATAL:  28P01: password authentication failed for user \"a\"\n"),
         Stage::authenticate, FailureKind::rejected,
         "password authentication failed for user \"a\"", "28P01");
  expect(login("FATAL:  3D000: database \"x\" does not exist\n"), Stage::authenticate,
         FailureKind::rejected, "database \"x\" does not exist", "3D000");
  expect(login("FATAL:  57P01: terminating connection due to administrator command\n"),
         Stage::authenticate, FailureKind::network,
         "terminating connection due to administrator command", "57P01");
  expect(login("FATAL:  XX000: something: else\n"), Stage::authenticate, FailureKind::query,
         "something: else", "XX000");
}

TEST(NetFailure, ReadsAServerOfAnotherLanguage) {
  expect(failed(Stage::authenticate,
                "SCHWERWIEGEND:  53300: tut mir leid, schon zu viele Verbindungen\n"),
         Stage::authenticate, FailureKind::crowded, "tut mir leid, schon zu viele Verbindungen",
         "53300");
}

TEST(NetFailure, IsNotFooledByWhatTheServerSays) {
  expect(failed(Stage::authenticate,
                "FATAL:  28000: connection to server at \"x\", port 1 failed: fooled\n"),
         Stage::authenticate, FailureKind::rejected,
         "connection to server at \"x\", port 1 failed: fooled", "28000");
  expect(failed(Stage::authenticate, "FATAL:  abcde: no state\n"), Stage::authenticate,
         FailureKind::protocol, "FATAL:  abcde: no state");
}

TEST(NetFailure, TellsTlsFromTheRest) {
  expect(failed(Stage::tls, "SSL error: certificate verify failed\n"), Stage::tls, FailureKind::tls,
         "SSL error: certificate verify failed");
  expect(failed(Stage::tls, "server does not support SSL, but SSL was required\n"), Stage::tls,
         FailureKind::tls, "server does not support SSL, but SSL was required");
  expect(failed(Stage::tls, "server closed the connection unexpectedly\n\tThis"), Stage::tls,
         FailureKind::network, "server closed the connection unexpectedly");
  expect(failed(Stage::tls, "received invalid response to SSL negotiation: H\n"), Stage::tls,
         FailureKind::protocol, "received invalid response to SSL negotiation: H");
  expect(failed(Stage::authenticate, "SSL error: tlsv13 alert certificate required\n"), Stage::tls,
         FailureKind::tls, "SSL error: tlsv13 alert certificate required");
  expect(connect_failure(Stage::connect, "invalid sslmode value: \"x\"\n"), Stage::tls,
         FailureKind::tls, "invalid sslmode value: \"x\"");
}

TEST(NetFailure, TellsARefusalFromNonsense) {
  expect(failed(Stage::authenticate, "fe_sendauth: no password supplied\n"), Stage::authenticate,
         FailureKind::rejected, "fe_sendauth: no password supplied");
  expect(
      failed(Stage::authenticate, "expected authentication request from server, but received H\n"),
      Stage::authenticate, FailureKind::protocol,
      "expected authentication request from server, but received H");
  expect(failed(Stage::authenticate, "server closed the connection unexpectedly\n"),
         Stage::authenticate, FailureKind::network, "server closed the connection unexpectedly");
}

TEST(NetFailure, LostSessions) {
  expect(lost_failure("server closed the connection unexpectedly\n\tThis probably means\n"),
         Stage::query, FailureKind::network, "server closed the connection unexpectedly");
  expect(lost_failure("lost synchronization with server: got message type \"x\"\n"), Stage::query,
         FailureKind::protocol, "lost synchronization with server: got message type \"x\"");
  expect(lost_failure(""), Stage::query, FailureKind::network, "connection to server was lost");
  expect(ended_failure("57P01", "terminating connection\nDETAIL"), Stage::query,
         FailureKind::network, "terminating connection", "57P01");
}

}  // namespace
}  // namespace pgfed::net
