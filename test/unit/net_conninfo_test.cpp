#include <gtest/gtest.h>
#include <libpq-fe.h>

#include <algorithm>
#include <memory>

#include "pgfed/net/conninfo.hpp"
#include "pgfed/net/environment.hpp"

namespace pgfed::net {
namespace {

Keywords sorted(Keywords keywords) {
  std::sort(keywords.begin(), keywords.end());
  return keywords;
}

/// What libpq makes of a string; empty optional: refused.
std::optional<Keywords> by_libpq(const std::string& conninfo) {
  const std::unique_ptr<PQconninfoOption, decltype(&PQconninfoFree)> options(
      PQconninfoParse(conninfo.c_str(), nullptr), &PQconninfoFree);
  if (!options) return std::nullopt;
  Keywords keywords;
  for (const PQconninfoOption* option = options.get(); option->keyword != nullptr; ++option) {
    if (option->val != nullptr) keywords.emplace_back(option->keyword, option->val);
  }
  return sorted(keywords);
}

TEST(NetConninfo, ParsesPairs) {
  const auto parsed = parse_conninfo(" host = a  user='b c' port=1");
  ASSERT_TRUE(parsed);
  EXPECT_EQ(parsed.value(), (Keywords{{"host", "a"}, {"user", "b c"}, {"port", "1"}}));
  // As in libpq, the value ends at the second quote, and the rest is taken for the next pair.
  EXPECT_FALSE(parse_conninfo("user='it''s'"));
  const auto escaped = parse_conninfo(R"(user='it\'s \\ x' dbname=a\ b)");
  ASSERT_TRUE(escaped);
  EXPECT_EQ(value_of(escaped.value(), "user"), "it's \\ x");
  EXPECT_EQ(value_of(escaped.value(), "dbname"), "a b");
}

TEST(NetConninfo, ReadsPairsAsLibpqDoes) {
  for (const std::string text : {
           "",
           " ",
           "user=a",
           "user = a",
           "user= a",
           "user =a",
           "user=",
           "user=''",
           "user='' ",
           "user=a user=b",
           "user=a=b",
           "user",
           "user ",
           "user a",
           "=a",
           " = a",
           "user=a dbname",
           "user='a",
           "user='a\\'",
           "user='a\\",
           "user=a\\",
           "user=a\\ b",
           "user=a'b'c",
           "user='a'b",
           "user='a'dbname=b",
           "user='a' dbname='b'",
           "user=\ta\ndbname\r=\vb\f",
           "user=\\'a",
           "user='\\a\\b'",
           "user=\xc3\xb6",
           "user='\xc3\xb6 \xff'",
           "dbname='host=evil'",
           "sslmode=verify-full sslrootcert=/x/y.crt user=peer",
           "user='a\nb'",
           "host=a,b port=1,2",
       }) {
    const auto theirs = by_libpq(text);
    const auto ours = parse_conninfo(text);
    ASSERT_EQ(ours.ok(), theirs.has_value()) << text;
    if (ours) {
      EXPECT_EQ(sorted(ours.value()), *theirs) << text;
    }
  }
}

TEST(NetConninfo, ReadsRandomPairsAsLibpqDoes) {
  // Every string of up to six of these pieces that a simple generator comes upon.
  const std::vector<std::string> pieces = {"user", "dbname", "=",  " ",   "'",
                                           "\\",   "a",      "\t", "port"};
  std::uint64_t state = 88172645463325252U;
  for (int round = 0; round < 20000; ++round) {
    std::string text = "user";
    for (int i = 0; i < 7; ++i) {
      state ^= state << 13U;
      state ^= state >> 7U;
      state ^= state << 17U;
      text += pieces[state % pieces.size()];
    }
    const auto ours = parse_conninfo(text);
    const auto theirs = by_libpq(text);
    if (!theirs) {
      // libpq also refuses unknown keywords, which parse_conninfo leaves to its callers.
      const bool unknown =
          ours && std::any_of(ours.value().begin(), ours.value().end(),
                              [](const auto& pair) { return !libpq_knows(pair.first); });
      EXPECT_TRUE(!ours || unknown) << text;
      continue;
    }
    ASSERT_TRUE(ours) << text;
    EXPECT_EQ(sorted(ours.value()), *theirs) << text;
  }
}

TEST(NetConninfo, ReadsUris) {
  const auto parsed =
      parse_conninfo("postgresql://us%20er@[::1]:99/db?sslmode=require&keepalives=0");
  ASSERT_TRUE(parsed);
  EXPECT_EQ(value_of(parsed.value(), "user"), "us er");
  EXPECT_EQ(value_of(parsed.value(), "host"), "::1");
  EXPECT_EQ(value_of(parsed.value(), "port"), "99");
  EXPECT_EQ(value_of(parsed.value(), "dbname"), "db");
  EXPECT_EQ(value_of(parsed.value(), "keepalives"), "0");
}

TEST(NetConninfo, KeepsKeywordsThatThisLibpqLacks) {
  const auto parsed = parse_conninfo("sslnegotiation=direct of_the_future='a b'");
  ASSERT_TRUE(parsed);
  EXPECT_EQ(value_of(parsed.value(), "of_the_future"), "a b");
}

void expect_no_secret(const core::Error& error) {
  for (const std::string& text : {error.message, error.detail, error.hint}) {
    EXPECT_EQ(text.find("hunter2"), std::string::npos) << text;
  }
}

TEST(NetConninfo, NeverRepeatsWhatItCannotParse) {
  using namespace std::string_literals;
  for (const std::string& text :
       {"password='hunter2"s, "hunter2"s, "user=a hunter2"s, "password=a hunter2 user=b"s,
        "postgresql://a:hunter2@[::1"s, "postgres://a:b@c/?hunter2=x"s, "postgresql://[hunter2"s,
        "postgresql://a/%zzhunter2"s, "user=a\0hunter2"s}) {
    for (const auto& parsed : {parse_conninfo(text), parse_peer_conninfo(text)}) {
      ASSERT_FALSE(parsed) << text;
      EXPECT_EQ(parsed.error().sqlstate, "22023");
      EXPECT_NE(parsed.error().message.find("could not be parsed"), std::string::npos);
      EXPECT_FALSE(parsed.error().detail.empty());
      expect_no_secret(parsed.error());
    }
  }
}

TEST(NetConninfo, AllowsHowToGetIn) {
  const auto parsed = parse_peer_conninfo(
      "user=peer dbname=x passfile=/p sslmode=verify-ca sslrootcert=/a sslcert=/b sslkey=/c "
      "sslcrl=/d sslcrldir=/e sslsni=1 ssl_min_protocol_version=TLSv1.3 application_name=me "
      "channel_binding=require keepalives=1 keepalives_idle=5 tcp_user_timeout=1000 "
      "sslnegotiation=direct sslcertmode=require require_auth=none");
  ASSERT_TRUE(parsed) << parsed.error().message;
  EXPECT_EQ(parsed.value().size(), 19U);
  EXPECT_TRUE(parse_peer_conninfo(""));
}

TEST(NetConninfo, RefusesWhatPgfedSaysItself) {
  for (const std::string keyword :
       {"host", "hostaddr", "port", "service", "options", "replication", "client_encoding",
        "target_session_attrs", "load_balance_hosts", "fallback_application_name", "gssencmode",
        "connect_timeout", "krbsrvname", "gsslib", "requirepeer", "servicefile"}) {
    const auto parsed = parse_peer_conninfo(std::string(keyword) + "=hunter2");
    ASSERT_FALSE(parsed) << keyword;
    EXPECT_EQ(parsed.error().sqlstate, "22023");
    if (libpq_knows(keyword)) {
      EXPECT_EQ(parsed.error().message,
                "parameter \"" + std::string(keyword) + "\" is not allowed in pgfed.conninfo");
    }
    EXPECT_FALSE(parsed.error().detail.empty()) << keyword;
    EXPECT_FALSE(parsed.error().hint.empty()) << keyword;
    expect_no_secret(parsed.error());
  }
}

TEST(NetConninfo, RefusesSecrets) {
  for (const std::string text :
       {"password=hunter2", "user=a password='hunter2'", "sslpassword=hunter2", "password=''",
        "scram_client_key=hunter2", "scram_server_key=hunter2", "oauth_client_secret=hunter2",
        "postgresql://a:hunter2@/db", "postgres://a:hunter2@host/db",
        "postgresql:///?password=hunter2"}) {
    const auto parsed = parse_peer_conninfo(text);
    ASSERT_FALSE(parsed) << text;
    EXPECT_NE(parsed.error().message.find("is not allowed in pgfed.conninfo"), std::string::npos);
    expect_no_secret(parsed.error());
  }
  const auto parsed = parse_peer_conninfo("password=hunter2");
  EXPECT_EQ(parsed.error().message, "parameter \"password\" is not allowed in pgfed.conninfo");
  EXPECT_NE(parsed.error().hint.find("passfile"), std::string::npos);
}

TEST(NetConninfo, DoesNotNameAKeywordThatMayBePartOfASecret) {
  // A blank in a password without quotes makes its rest look like a keyword.
  const auto parsed = parse_peer_conninfo("user=a hunter2=x");
  ASSERT_FALSE(parsed);
  expect_no_secret(parsed.error());
  EXPECT_EQ(parsed.error().message, "unknown parameter in pgfed.conninfo");
}

TEST(NetConninfo, WritesWhatItReads) {
  const Keywords keywords = {{"user", "a b"},           {"dbname", ""},
                             {"sslcert", "/x/y-1.crt"}, {"passfile", "it's"},
                             {"sslkey", "back\\s"},     {"application_name", "=\n'\\"}};
  const std::string text = format_conninfo(keywords);
  EXPECT_EQ(text.substr(0, 44), "user='a b' dbname='' sslcert=/x/y-1.crt pass");
  const auto parsed = parse_conninfo(text);
  ASSERT_TRUE(parsed);
  EXPECT_EQ(parsed.value(), keywords);
  EXPECT_EQ(sorted(keywords), by_libpq(text));
  EXPECT_EQ(format_conninfo({}), "");
}

TEST(NetConninfo, FindsValues) {
  const Keywords keywords = {{"a", "1"}, {"b", "2"}};
  EXPECT_EQ(value_of(keywords, "b"), "2");
  EXPECT_EQ(value_of(keywords, "c"), "");
}

TEST(NetConninfo, KnowsWhatLibpqKnows) {
  EXPECT_TRUE(libpq_knows("sslmode"));
  EXPECT_FALSE(libpq_knows("of_the_future"));
  EXPECT_FALSE(libpq_knows(""));
}

TEST(NetEnvironment, IsCleared) {
  const std::vector<const char*> names = {
      "PGHOST",    "PGSERVICE", "PGPASSWORD",    "PGSSLMODE",   "PGOPTIONS", "PGTARGETSESSIONATTRS",
      "PGSSLCERT", "PGPORT",    "PGSERVICEFILE", "PGDATESTYLE", "PGUSER",    "PGCHANNELBINDING"};
  for (const char* name : names) setenv(name, "x", 1);
  setenv("PGDATA", "stays", 1);
  clear_environment();
  for (const char* name : names) EXPECT_EQ(getenv(name), nullptr) << name;
  EXPECT_STREQ(getenv("PGDATA"), "stays");
  unsetenv("PGDATA");
}

}  // namespace
}  // namespace pgfed::net
