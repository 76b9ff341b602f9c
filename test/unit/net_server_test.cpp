#include <gtest/gtest.h>
#include <libpq-fe.h>

#include <fstream>
#include <memory>

#include "pgfed/core/wire.hpp"
#include "pgfed/net/dial_keywords.hpp"
#include "pgfed/net/environment.hpp"
#include "pgfed/net/transport.hpp"

#include "net_peers.hpp"

/// The transport against a real server, whose pgfed.exchange() is a stand-in that does what the
/// request says. It takes seconds to make one, so that there is one for all, and one test.
namespace pgfed::net {
namespace {

using core::FailureKind;
using core::Stage;
using net_test::Drill;
using net_test::PostgresServer;

constexpr const char* kSetup = R"(
CREATE ROLE peer LOGIN;
CREATE ROLE trusted LOGIN;
CREATE ROLE secret LOGIN PASSWORD 'right';
CREATE ROLE owner;
CREATE SCHEMA pgfed;
GRANT USAGE ON SCHEMA pgfed TO peer, trusted;
CREATE FUNCTION pgfed.exchange(request bytea) RETURNS bytea LANGUAGE plpgsql AS $$
BEGIN
  CASE encode(request, 'escape')
    WHEN 'null' THEN RETURN NULL;
    WHEN 'garbage' THEN RETURN 'garbage'::bytea;
    WHEN 'large' THEN RETURN convert_to(repeat('x', 400000), 'UTF8');
    WHEN 'sleep' THEN PERFORM pg_sleep(60); RETURN NULL;
    WHEN 'not loaded' THEN RAISE 'pgfed is not loaded' USING ERRCODE = '55000';
    WHEN 'other' THEN RAISE E'first line\nsecond line' USING ERRCODE = '22012';
    WHEN 'notices' THEN
      FOR i IN 1 .. 10000 LOOP RAISE WARNING 'notice % of many, and a long one too', i; END LOOP;
      RETURN NULL;
    ELSE RETURN request;
  END CASE;
END $$;

CREATE DATABASE bare;

CREATE DATABASE closed;

REVOKE CONNECT ON DATABASE closed FROM PUBLIC;

CREATE DATABASE hostile OWNER owner;

CREATE DATABASE denied TEMPLATE postgres;
)";

class Steps {
 public:
  explicit Steps(PostgresServer& server) : server_(server) {}

  [[nodiscard]] Keywords tls(const std::string& certificate) const {
    return {{"user", "peer"},
            {"sslrootcert", server_.path("ca.crt")},
            {"sslcert", server_.path(certificate + ".crt")},
            {"sslkey", server_.path(certificate + ".key")}};
  }
  [[nodiscard]] static Keywords plain(const std::string& user = "trusted") {
    return {{"user", user}, {"sslmode", "disable"}};
  }
  static Keywords with(Keywords keywords, const std::string& keyword, const std::string& value) {
    keywords.emplace_back(keyword, value);
    return keywords;
  }

  void fails(const Keywords& keywords, Stage stage, FailureKind kind, const std::string& sqlstate,
             const std::string& message) {
    Drill drill(keywords);
    const core::Attempt attempt = drill.dial("127.0.0.21", server_.port());
    expect(drill.next<core::SessionFailed>(attempt), stage, kind, sqlstate, message);
  }

  void query_fails(const std::string& request, FailureKind kind, const std::string& sqlstate,
                   const std::string& message, const Keywords& keywords = plain()) {
    SCOPED_TRACE(request);
    Drill drill(keywords);
    const core::Attempt attempt = drill.dial("127.0.0.21", server_.port());
    ASSERT_TRUE(drill.next<core::SessionOpened>(attempt));
    drill.ask(attempt, request);
    expect(drill.next<core::SessionFailed>(attempt), Stage::query, kind, sqlstate, message);
  }

  static void expect(const std::optional<core::SessionFailed>& failed, Stage stage,
                     FailureKind kind, const std::string& sqlstate, const std::string& message) {
    ASSERT_TRUE(failed);
    EXPECT_EQ(core::word(failed->failure.stage), core::word(stage));
    EXPECT_EQ(static_cast<int>(failed->failure.kind), static_cast<int>(kind));
    EXPECT_EQ(failed->failure.sqlstate.str(), sqlstate);
    EXPECT_EQ(failed->failure.message.str().find(message), 0U) << failed->failure.message.view();
  }

  void exchanges() {
    core::Report report;
    report.node = "leo";
    report.federation = "f";
    report.incarnation.bytes[0] = 1;
    report.facts.role = core::Role::primary;
    Drill drill(tls("peer"));
    const core::Attempt attempt = drill.dial("localhost", server_.port(), "hostaddr=127.0.0.21");
    const auto opened = drill.next<core::SessionOpened>(attempt);
    ASSERT_TRUE(opened);
    EXPECT_EQ(opened->info.server_version / 10000, static_cast<unsigned>(PQlibVersion()) / 10000);
    EXPECT_EQ(opened->info.tls_protocol.str(), "TLSv1.3");
    EXPECT_EQ(opened->info.client_dn.str(), "CN=peer,O=Föderation\\, e. V.");
    for (int i = 0; i < 20; ++i) {
      const core::RequestId request = drill.ask(attempt, core::encode(report));
      const auto reply = drill.next<core::ReplyReceived>(attempt);
      ASSERT_TRUE(reply);
      EXPECT_EQ(reply->request, request);
      EXPECT_EQ(reply->report, report);
    }
    EXPECT_EQ(drill.stages(attempt), "connect>tls>authenticate>query");
    EXPECT_EQ(server_.value("SELECT application_name FROM pg_stat_activity WHERE usename = 'peer'"),
              "pgfed");
    EXPECT_LT(drill.longest_run, core::milliseconds(300));
    drill.hangup(attempt);
    EXPECT_TRUE(drill.run_until(
        [&] {
          return server_.value("SELECT count(*) FROM pg_stat_activity WHERE usename = 'peer'") ==
                 "0";
        },
        core::seconds(10)));
  }

  /// Whether a certificate was sent is told apart from whether there is one.
  void tells_who_it_was() {
    for (const std::string version : {"TLSv1.2", "TLSv1.3"}) {
      for (const bool sent : {true, false}) {
        Keywords keywords = with(tls("peer"), "ssl_max_protocol_version", version);
        keywords[0].second = "trusted";
        if (!sent) keywords[2].second = server_.path("no.crt");
        Drill drill(keywords);
        const auto opened =
            drill.next<core::SessionOpened>(drill.dial("127.0.0.21", server_.port()));
        ASSERT_TRUE(opened);
        EXPECT_EQ(opened->info.tls_protocol.str(), version);
        EXPECT_EQ(opened->info.client_dn.empty(), !sent) << version;
      }
    }
  }

  void logins_fail() {
    fails(plain("nobody"), Stage::authenticate, FailureKind::rejected, "28000",
          "no pg_hba.conf entry for host");
    fails(plain("secret"), Stage::authenticate, FailureKind::rejected, "",
          "fe_sendauth: no password supplied");
    const std::string passfile = server_.path("pass");
    std::ofstream(passfile) << "127.0.0.21:*:*:secret:wrong\n";
    chmod(passfile.c_str(), 0600);
    fails(with(plain("secret"), "passfile", passfile), Stage::authenticate, FailureKind::rejected,
          "28P01", "password authentication failed for user \"secret\"");
    std::ofstream(passfile) << "127.0.0.21:*:*:secret:right\n";
    Drill drill(with(plain("secret"), "passfile", passfile));
    EXPECT_TRUE(drill.next<core::SessionOpened>(drill.dial("127.0.0.21", server_.port())));
    fails(with(plain(), "dbname", "missing"), Stage::authenticate, FailureKind::rejected, "3D000",
          "database \"missing\" does not exist");
    fails(with(plain(), "dbname", "closed"), Stage::authenticate, FailureKind::rejected, "42501",
          "permission denied for database \"closed\"");
  }

  void tls_fails() {
    fails(tls("stranger"), Stage::tls, FailureKind::tls, "", "SSL error: ");
    Keywords keywords = tls("peer");
    keywords[1].second = server_.path("otherca.crt");
    fails(keywords, Stage::tls, FailureKind::tls, "", "SSL error: certificate verify failed");
    keywords[1].second = server_.path("no.crt");
    fails(keywords, Stage::tls, FailureKind::tls, "", "root certificate file");
    keywords = tls("peer");
    keywords[3].second = server_.path("no.key");
    fails(keywords, Stage::tls, FailureKind::tls, "", "certificate present, but not private key");
    fails(with(tls("peer"), "sslmode", "nonsense"), Stage::tls, FailureKind::tls, "",
          "invalid sslmode value");

    Drill drill(tls("peer"));
    const core::Attempt attempt =
        drill.dial("leo.example.org", server_.port(), "hostaddr=127.0.0.21");
    expect(drill.next<core::SessionFailed>(attempt), Stage::tls, FailureKind::tls, "",
           "server certificate for \"");
  }

  void queries_fail() {
    query_fails("null", FailureKind::protocol, "", "unexpected answer");
    query_fails("garbage", FailureKind::protocol, "", "");
    query_fails("large", FailureKind::protocol, "", "reply is larger than 192 kB");
    query_fails("notices", FailureKind::protocol, "", "reply is larger than 192 kB");
    query_fails("not loaded", FailureKind::not_loaded, "55000", "pgfed is not loaded");
    query_fails("other", FailureKind::query, "22012", "first line");
    query_fails("x", FailureKind::not_loaded, "3F000", "schema \"pgfed\" does not exist",
                with(plain(), "dbname", "bare"));
    ASSERT_TRUE(server_.sql("CREATE SCHEMA pgfed", "bare"));
    ASSERT_TRUE(server_.sql("GRANT USAGE ON SCHEMA pgfed TO PUBLIC", "bare"));
    query_fails("x", FailureKind::not_loaded, "42883", "function pgfed.exchange(bytea) does not",
                with(plain(), "dbname", "bare"));
    ASSERT_TRUE(server_.sql("REVOKE EXECUTE ON FUNCTION pgfed.exchange FROM PUBLIC", "denied"));
    query_fails("x", FailureKind::not_permitted, "42501", "permission denied for function exchange",
                with(plain(), "dbname", "denied"));
  }

  /// What the owner of a database, or of a role, may set for the sessions of others.
  void hostile_settings_do_nothing() {
    const std::vector<std::pair<std::string, std::string>> planted = {
        {"role", "owner"},
        {"search_path", "public"},
        {"default_transaction_isolation", "serializable"},
        {"default_transaction_read_only", "on"},
        {"default_transaction_deferrable", "on"},
        {"statement_timeout", "1"},
        {"lock_timeout", "1"},
        {"idle_in_transaction_session_timeout", "1"},
        {"idle_session_timeout", "1"},
        {"client_min_messages", "debug5"},
        {"tcp_user_timeout", "1"},
        {"row_security", "off"},
        {"client_encoding", "LATIN1"},
        {"jit", "on"}};
    ASSERT_TRUE(server_.sql("GRANT owner TO trusted"));
    std::string statements;
    for (const auto& [name, value] : planted) {
      for (const char* whose : {"DATABASE hostile", "ROLE trusted"}) {
        statements.append("ALTER ").append(whose).append(" SET ").append(name);
        statements.append(" = '").append(value).append("'\n\n");
      }
    }
    ASSERT_TRUE(server_.sql(statements));
    core::NodeSpec node;
    node.host = "127.0.0.21";
    node.port = server_.port();
    auto keywords = dial_keywords(node, plain(), "hostile");
    ASSERT_TRUE(keywords);
    set_addresses(keywords.value(), node, {"127.0.0.21"});
    std::vector<const char*> names;
    std::vector<const char*> values;
    for (const auto& [name, value] : keywords.value()) {
      names.push_back(name.c_str());
      values.push_back(value.c_str());
    }
    names.push_back(nullptr);
    values.push_back(nullptr);
    const std::unique_ptr<PGconn, decltype(&PQfinish)> connection(
        PQconnectdbParams(names.data(), values.data(), 0), &PQfinish);
    ASSERT_EQ(PQstatus(connection.get()), CONNECTION_OK) << PQerrorMessage(connection.get());
    for (const auto& [name, value] : planted) {
      const std::unique_ptr<PGresult, decltype(&PQclear)> result(
          PQexec(connection.get(), ("SHOW " + name).c_str()), &PQclear);
      ASSERT_EQ(PQresultStatus(result.get()), PGRES_TUPLES_OK)
          << name << PQerrorMessage(connection.get());
      EXPECT_STRNE(PQgetvalue(result.get(), 0, 0), value.c_str()) << name;
    }
    ASSERT_TRUE(server_.sql("ALTER ROLE trusted RESET ALL"));
  }

  void a_terminated_session_says_why() {
    Drill drill(plain());
    const core::Attempt idle = drill.dial("127.0.0.21", server_.port());
    const core::Attempt busy = drill.dial("127.0.0.21", server_.port());
    ASSERT_TRUE(drill.next<core::SessionOpened>(idle));
    ASSERT_TRUE(drill.next<core::SessionOpened>(busy));
    drill.ask(busy, "sleep");
    const std::string kill =
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE usename = 'trusted'";
    drill.run_until([&] { return !drill.events.empty(); }, core::milliseconds(50));
    server_.value(kill);
    for (const core::Attempt attempt : {idle, busy}) {
      expect(drill.next<core::SessionFailed>(attempt), Stage::query, FailureKind::network, "57P01",
             "terminating connection due to administrator command");
    }
  }

  void crowded() {
    std::vector<std::unique_ptr<PGconn, decltype(&PQfinish)>> crowd;
    crowd.reserve(10);
    for (int i = 0; i < 10; ++i) {
      crowd.emplace_back(PQconnectdb(server_.superuser_conninfo().c_str()), &PQfinish);
    }
    fails(plain(), Stage::authenticate, FailureKind::crowded, "53300",
          "sorry, too many clients already");
    crowd.pop_back();
    crowd.pop_back();
    Drill drill(plain());
    std::optional<core::SessionFailed> failed;
    // The place of a backend that leaves is not free at once.
    const core::Instant end = net_test::boot_now() + core::seconds(10);
    do {
      failed = drill.next<core::SessionFailed>(drill.dial("127.0.0.21", server_.port()));
      ASSERT_TRUE(failed);
    } while (failed->failure.message == "sorry, too many clients already" &&
             net_test::boot_now() < end);
    expect(failed, Stage::authenticate, FailureKind::crowded, "53300",
           "remaining connection slots are reserved");
    // Nor are those of the others, which the next drill needs.
    crowd.clear();
    const std::string left =
        "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'";
    const core::Instant empty_by = net_test::boot_now() + core::seconds(10);
    std::string found;
    do {
      found = server_.value(left);
    } while (found != "1" && net_test::boot_now() < empty_by);
    ASSERT_EQ(found, "1");
  }

  void a_killed_server_is_noticed() {
    Drill drill(plain());
    const core::Attempt idle = drill.dial("127.0.0.21", server_.port());
    const core::Attempt busy = drill.dial("127.0.0.21", server_.port());
    ASSERT_TRUE(drill.next<core::SessionOpened>(idle));
    ASSERT_TRUE(drill.next<core::SessionOpened>(busy));
    drill.ask(busy, "sleep");
    drill.run_until([&] { return !drill.events.empty(); }, core::milliseconds(50));
    ASSERT_TRUE(server_.stop("immediate"));
    for (const core::Attempt attempt : {idle, busy}) {
      const auto failed = drill.next<core::SessionFailed>(attempt);
      ASSERT_TRUE(failed);
      EXPECT_EQ(static_cast<int>(failed->failure.kind), static_cast<int>(FailureKind::network));
    }
    fails(plain(), Stage::connect, FailureKind::network, "", "Connection refused");
  }

  /// A standby without a primary that has not reached a consistent state stays "starting up".
  void starting() {
    ASSERT_TRUE(std::ofstream(server_.path("data/standby.signal")).good());
    ASSERT_TRUE(server_.configure(
        "hot_standby = off\nrestore_command = 'false'\nlogging_collector = off\n"));
    ASSERT_TRUE(server_.start());
    fails(plain(), Stage::authenticate, FailureKind::starting, "57P03",
          "the database system is not accepting connections");
    ASSERT_TRUE(server_.stop("immediate"));
  }

 private:
  PostgresServer& server_;
};

TEST(NetServer, Drill) {
  if (!PostgresServer::available()) GTEST_SKIP() << "no PostgreSQL server programs here";
  clear_environment();
  PostgresServer server;
  ASSERT_TRUE(server.ok()) << server.problem();
  ASSERT_TRUE(server.sql(kSetup));

  const std::vector<std::pair<const char*, void (Steps::*)()>> steps = {
      {"exchanges", &Steps::exchanges},
      {"tells who it was", &Steps::tells_who_it_was},
      {"logins fail", &Steps::logins_fail},
      {"tls fails", &Steps::tls_fails},
      {"queries fail", &Steps::queries_fail},
      {"hostile settings do nothing", &Steps::hostile_settings_do_nothing},
      {"a terminated session says why", &Steps::a_terminated_session_says_why},
      {"crowded", &Steps::crowded},
      {"a killed server is noticed", &Steps::a_killed_server_is_noticed},
      {"starting", &Steps::starting},
  };
  Steps drill(server);
  for (const auto& [name, step] : steps) {
    SCOPED_TRACE(name);
    (drill.*step)();
  }
}

}  // namespace
}  // namespace pgfed::net
