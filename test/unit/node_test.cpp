#include "pgfed/core/node.hpp"

#include <gtest/gtest.h>

#include <cctype>
#include <type_traits>

namespace pgfed::core {
namespace {

constexpr const char* kSecret = "hunter2";

/// What holds for every error: a code, a message as Postgres writes them, help, and nothing secret.
void expect_helpful(const Error& error, const std::string& code) {
  EXPECT_EQ(error.sqlstate, code) << error.message;
  ASSERT_FALSE(error.message.empty());
  EXPECT_TRUE(std::islower(static_cast<unsigned char>(error.message.front())) != 0)
      << error.message;
  EXPECT_NE(error.message.back(), '.') << error.message;
  EXPECT_FALSE(error.detail.empty() && error.hint.empty()) << error.message;
  for (const std::string& sentence : {error.detail, error.hint}) {
    if (sentence.empty()) continue;
    EXPECT_TRUE(std::isupper(static_cast<unsigned char>(sentence.front())) != 0) << sentence;
    EXPECT_EQ(sentence.back(), '.') << sentence;
  }
  for (const std::string& text : {error.message, error.detail, error.hint}) {
    EXPECT_EQ(text.find(kSecret), std::string::npos) << text;
    EXPECT_LT(text.size(), 400U) << text;
    for (const char c : text) EXPECT_GE(static_cast<unsigned char>(c), 0x20) << text;
  }
}

void expect_invalid(const Outcome& outcome, const std::string& what,
                    const std::string& code = sqlstate::kInvalidParameterValue) {
  ASSERT_FALSE(outcome.ok()) << what << " was accepted";
  expect_helpful(outcome.error(), code);
}

NodeInput leo() {
  NodeInput input;
  input.name = "leo";
  input.host = "leo.example.org";
  return input;
}

// ---- name ------------------------------------------------------------------------------------

TEST(CheckName, AcceptsNames) {
  for (const char* name : {"a", "leo", "node-1", "node_1", "n0", "a-", "a_", "x--y__z"}) {
    EXPECT_TRUE(check_name(name).ok()) << name;
  }
  EXPECT_TRUE(check_name(std::string(50, 'a')).ok());
}

TEST(CheckName, RefusesOthers) {
  for (const char* name : {"",           "Leo",   "lEo",     "1leo",    "_leo", "-leo",  "le o",
                           " leo",       "leo ",  "leo.x",   "leo/x",   "leo'", "leo\"", "leo;",
                           "l\xC3\xA9o", "leo\n", "leo\x01", "leo\xFF", "l,o",  "*",     "$user"}) {
    expect_invalid(check_name(name), name, sqlstate::kInvalidName);
  }
  expect_invalid(check_name(std::string(51, 'a')), "51 letters", sqlstate::kInvalidName);
  expect_invalid(check_name(std::string(100000, 'a')), "many letters", sqlstate::kInvalidName);
  expect_invalid(check_name(std::string_view("leo\0", 4)), "NUL", sqlstate::kInvalidName);
}

TEST(CheckName, AcceptsEachByteOnlyWhereItBelongs) {
  for (int byte = 0; byte < 256; ++byte) {
    const char c = static_cast<char>(byte);
    const bool lower = c >= 'a' && c <= 'z';
    const bool other = (c >= '0' && c <= '9') || c == '_' || c == '-';
    EXPECT_EQ(check_name(std::string{c}).ok(), lower) << byte;
    EXPECT_EQ(check_name(std::string{'a', c}).ok(), lower || other) << byte;
  }
}

TEST(CheckName, SaysWhatToType) {
  const Outcome upper = check_name("Leo");
  EXPECT_EQ(upper.error().message, "invalid node name \"Leo\"");
  EXPECT_EQ(upper.error().detail,
            "A node name starts with a lower-case letter, followed by up to 49 letters, digits, "
            "\"_\" or \"-\", all lower case.");
  EXPECT_EQ(upper.error().hint, "Use \"leo\" instead.");
  EXPECT_EQ(check_name("1leo").error().hint, "");
  EXPECT_EQ(check_name("a\nb").error().message, "invalid node name \"a b\"");
  EXPECT_EQ(check_name(std::string(80, 'x')).error().message,
            "invalid node name \"" + std::string(64, 'x') + "...\"");
}

// ---- host ------------------------------------------------------------------------------------

TEST(CheckHost, AcceptsNamesAndAddresses) {
  for (const char* host : {"leo",
                           "leo.example.org",
                           "LEO.Example.ORG",
                           "db_1",
                           "db-1.internal",
                           "1db",
                           "1.db",
                           "9-9",
                           "xn--bcher-kva.example",
                           "127.0.0.2",
                           "192.0.2.1",
                           "255.255.255.254",
                           "::1",
                           "2001:db8::1",
                           "fe80::1%eth0",
                           "::ffff:192.0.2.1",
                           "localhost",
                           "0.example",
                           "a.b.c.d.e.f",
                           "_db.x"}) {
    EXPECT_TRUE(check_host(host).ok()) << host;
  }
  const std::string label(63, 'a');
  EXPECT_TRUE(check_host(label).ok());
  EXPECT_TRUE(check_host(label + "." + label + "." + label + "." + label).ok());  // 255 bytes
}

TEST(CheckHost, RefusesOthers) {
  for (const char* host : {"",
                           ",",
                           "leo,ait",
                           "leo,",
                           "/var/run/postgresql",
                           "/",
                           "@abstract",
                           "@",
                           "leo ait",
                           " leo",
                           "leo ",
                           "leo\tait",
                           "leo\n",
                           "\x01",
                           "leo\x7F",
                           "[::1]",
                           "[leo]",
                           "leo:5432",
                           "::1::",
                           ":",
                           "1:2",
                           "leo.",
                           ".",
                           "..",
                           ".leo",
                           "leo..ait",
                           "-leo",
                           "leo-",
                           "leo.-a",
                           "leo-.a",
                           "leo/x",
                           "l\xC3\xA9o",
                           "leo\xFF",
                           "leo;x",
                           "leo'x",
                           "*",
                           "256.1.1.1",
                           "1.2.3",
                           "1.2.3.4.5",
                           "01.2.3.4",
                           "1234",
                           "0x7f000001",
                           "0x7f.1",
                           "0.0.0.0",
                           "::",
                           "0:0::0",
                           "::0.0.0.0",
                           "::%eth0",
                           "0",
                           "fe80::1%",
                           "leo%eth0",
                           "1.2.3.4%eth0",
                           "1.2.3.4.",
                           "a=b",
                           "$x",
                           "a\\b"}) {
    expect_invalid(check_host(host), host);
  }
  expect_invalid(check_host(std::string(64, 'a')), "label of 64");
  expect_invalid(check_host("x." + std::string(64, 'a')), "label of 64");
  const std::string label(63, 'a');
  expect_invalid(check_host(label + "." + label + "." + label + "." + label + ".a"), "257 bytes");
  expect_invalid(check_host(std::string(1000000, 'a')), "a million letters");
  expect_invalid(check_host(std::string_view("leo\0", 4)), "NUL");
}

TEST(CheckHost, AcceptsOnlyLettersDigitsAndThreeSignsInNames) {
  for (int byte = 0; byte < 256; ++byte) {
    const char c = static_cast<char>(byte);
    const bool good = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                      c == '-' || c == '_' || c == '.';
    EXPECT_EQ(check_host(std::string{'a', c, 'b'}).ok(), good) << byte;
  }
}

TEST(CheckHost, SaysWhatToTypeInstead) {
  const auto hint = [](std::string_view host) { return check_host(host).error().hint; };
  const auto detail = [](std::string_view host) { return check_host(host).error().detail; };
  EXPECT_NE(hint("a,b").find("once for each node"), std::string::npos);
  EXPECT_NE(detail("/tmp").find("Unix-domain socket"), std::string::npos);
  EXPECT_NE(detail("@x").find("Unix-domain socket"), std::string::npos);
  EXPECT_NE(hint("[::1]").find("without brackets"), std::string::npos);
  EXPECT_NE(hint("leo:5432").find("\"port\""), std::string::npos);
  EXPECT_NE(hint("leo.").find("last dot"), std::string::npos);
  EXPECT_NE(detail("0.0.0.0").find("every address"), std::string::npos);
  EXPECT_NE(detail("1.2.3").find("IPv4"), std::string::npos);
  EXPECT_NE(detail("1::2::3").find("IPv6"), std::string::npos);
  EXPECT_NE(hint("b\xC3\xBC"
                 "cher.example")
                .find("xn--"),
            std::string::npos);
  EXPECT_EQ(check_host("leo!").error().message, "invalid host \"leo!\"");
  EXPECT_EQ(check_host("a\x1B[2J").error().message, "invalid host \"a [2J\"");
}

TEST(CheckHost, DoesNotRepeatAConnectionString) {
  for (const char* host : {"postgres://me:hunter2@leo/db", "postgresql://leo?password=hunter2",
                           "host=leo password=hunter2", "me:hunter2@leo", "password=hunter2",
                           "leo password hunter2"}) {
    expect_invalid(check_host(host), host);
    EXPECT_EQ(check_host(host).error().message, "invalid host");
  }
}

// ---- port and site ---------------------------------------------------------------------------

TEST(CheckPort, AcceptsSixteenBitsWithoutZero) {
  for (const std::int64_t port : {1, 80, 5432, 65535}) EXPECT_TRUE(check_port(port).ok()) << port;
  for (const std::int64_t port : {std::int64_t{0}, std::int64_t{-1}, std::int64_t{65536},
                                  std::int64_t{65536 + 5432}, INT64_MIN, INT64_MAX}) {
    expect_invalid(check_port(port), std::to_string(port));
  }
  EXPECT_EQ(check_port(70000).error().message, "invalid port 70000");
}

TEST(CheckSite, AcceptsPrintableTexts) {
  for (const char* site : {"default", "a", "Frankfurt am Main", "K\xC3\xB6ln", "eu-1/b", "'\"<>"}) {
    EXPECT_TRUE(check_site(site).ok()) << site;
  }
  EXPECT_TRUE(check_site(std::string(63, 's')).ok());
}

TEST(CheckSite, RefusesOthers) {
  for (const char* site : {"", "a\nb", "\x1B[31m", "a\x7F", "\xFF", "\xE2\x80\xAE"}) {
    expect_invalid(check_site(site), site);
  }
  expect_invalid(check_site(std::string(64, 's')), "64 bytes");
  expect_invalid(check_site(std::string_view("a\0", 2)), "NUL");
}

// ---- options ---------------------------------------------------------------------------------

TEST(CheckOptions, AcceptsTheKeywordsOfAnEndpoint) {
  EXPECT_TRUE(check_options({}).ok());
  EXPECT_TRUE(check_options({{"hostaddr", "192.0.2.1"},
                             {"sslnegotiation", "direct"},
                             {"sslsni", "0"},
                             {"keepalives", "1"},
                             {"keepalives_idle", "10"},
                             {"keepalives_interval", "0"},
                             {"keepalives_count", "2147483647"},
                             {"tcp_user_timeout", "5000"}})
                  .ok());
  EXPECT_TRUE(check_options({{"hostaddr", "2001:db8::1"}}).ok());
  EXPECT_TRUE(check_options({{"hostaddr", "fe80::1%eth0"}}).ok());
  EXPECT_TRUE(check_options({{"sslnegotiation", "postgres"}}).ok());
}

TEST(CheckOptions, RefusesEveryOtherKeyword) {
  for (const char* keyword : {"host",
                              "port",
                              "user",
                              "dbname",
                              "password",
                              "passfile",
                              "sslpassword",
                              "sslmode",
                              "sslcert",
                              "sslkey",
                              "sslrootcert",
                              "sslcrl",
                              "sslcrldir",
                              "sslcompression",
                              "requirepeer",
                              "require_auth",
                              "channel_binding",
                              "connect_timeout",
                              "client_encoding",
                              "options",
                              "application_name",
                              "fallback_application_name",
                              "service",
                              "servicefile",
                              "replication",
                              "gssencmode",
                              "krbsrvname",
                              "gsslib",
                              "gssdelegation",
                              "target_session_attrs",
                              "load_balance_hosts",
                              "ssl_min_protocol_version",
                              "ssl_max_protocol_version",
                              "requiressl",
                              "sslcertmode",
                              "sslkeylogfile",
                              "scram_client_key",
                              "min_protocol_version",
                              "Hostaddr",
                              "hostaddr ",
                              "",
                              "keepalives_"}) {
    expect_invalid(check_options({{"sslsni", "1"}, {keyword, kSecret}}), keyword);
  }
  EXPECT_EQ(check_options({{"password", kSecret}}).error().message,
            "option \"password\" is not allowed");
  EXPECT_NE(check_options({{"password", kSecret}}).error().hint.find("certificate"),
            std::string::npos);
  EXPECT_NE(check_options({{"sslmode", "disable"}}).error().hint.find("pgfed.conninfo"),
            std::string::npos);
  EXPECT_NE(check_options({{"port", "1"}}).error().hint.find("argument \"port\""),
            std::string::npos);
}

TEST(CheckOptions, NeverRepeatsAValueNorAKeywordThatIsNone) {
  expect_invalid(check_options({{"hunter2", "x"}}), "secret as keyword");
  for (const char* keyword :
       {"hostaddr", "sslnegotiation", "sslsni", "keepalives", "keepalives_idle",
        "keepalives_interval", "keepalives_count", "tcp_user_timeout"}) {
    expect_invalid(check_options({{keyword, kSecret}}), keyword);
    expect_invalid(check_options({{keyword, ""}}), keyword);
  }
}

TEST(CheckOptions, ChecksValues) {
  for (const char* address :
       {"leo", "192.0.2.1,192.0.2.2", "192.0.2", "[::1]", "0.0.0.0", "::", "192.0.2.1 ", "/tmp"}) {
    expect_invalid(check_options({{"hostaddr", address}}), address);
  }
  for (const char* number : {"-1", "1.5", "1s", " 1", "1 ", "2147483648", "0x10", "one"}) {
    expect_invalid(check_options({{"keepalives_idle", number}}), number);
    expect_invalid(check_options({{"tcp_user_timeout", number}}), number);
  }
  for (const char* word : {"require", "Direct", "direct "}) {
    expect_invalid(check_options({{"sslnegotiation", word}}), word);
  }
  for (const char* word : {"2", "on", "true", "00"}) {
    expect_invalid(check_options({{"sslsni", word}}), word);
    expect_invalid(check_options({{"keepalives", word}}), word);
  }
}

// ---- the whole row ---------------------------------------------------------------------------

TEST(CheckNode, TakesEveryField) {
  NodeInput input = leo();
  input.port = 6543;
  input.site = "north";
  input.upstream = "ait";
  input.options = "sslsni=1";
  input.parsed_options = {{"sslsni", "1"}};
  const Result<NodeSpec> node = check_node(input);
  ASSERT_TRUE(node.ok());
  EXPECT_EQ(node.value().name, "leo");
  EXPECT_EQ(node.value().host, "leo.example.org");
  EXPECT_EQ(node.value().port, 6543);
  EXPECT_EQ(node.value().site, "north");
  EXPECT_EQ(node.value().upstream, "ait");
  EXPECT_EQ(node.value().options, "sslsni=1");
}

TEST(CheckNode, HasDefaults) {
  const Result<NodeSpec> node = check_node(leo());
  ASSERT_TRUE(node.ok());
  EXPECT_EQ(node.value().port, 5432);
  EXPECT_EQ(node.value().site, "default");
  EXPECT_TRUE(node.value().upstream.empty());
}

TEST(CheckNode, LosesNothingOfTheLongestRow) {
  NodeInput input;
  input.name = std::string(50, 'n');
  const std::string label(63, 'h');
  input.host = label + "." + label + "." + label + "." + label;
  input.site = std::string(63, 's');
  input.upstream = std::string(50, 'u');
  input.options = std::string(511, 'o');
  const Result<NodeSpec> node = check_node(input);
  ASSERT_TRUE(node.ok());
  EXPECT_EQ(node.value().name, input.name);
  EXPECT_EQ(node.value().host, input.host);
  EXPECT_EQ(node.value().site, input.site);
  EXPECT_EQ(node.value().upstream, input.upstream);
  EXPECT_EQ(node.value().options, input.options);
}

TEST(CheckNode, NamesTheFirstFaultInTheOrderOfTheColumns) {
  NodeInput input;
  input.name = "Leo";
  input.host = "";
  input.port = 0;
  input.site = "";
  input.upstream = "Ait";
  input.options = std::string(512, 'x');
  input.parsed_options = {{"password", kSecret}};
  const auto message = [&input] {
    const Result<NodeSpec> node = check_node(input);
    return node.ok() ? std::string("ok") : node.error().message;
  };
  EXPECT_EQ(message(), "invalid node name \"Leo\"");
  input.name = "leo";
  EXPECT_EQ(message(), "host must not be empty");
  input.host = "leo";
  EXPECT_EQ(message(), "invalid port 0");
  input.port = 1;
  EXPECT_EQ(message(), "site must not be empty");
  input.site = "x";
  EXPECT_EQ(message(), "invalid node name \"Ait\"");
  input.upstream = "";
  EXPECT_EQ(message(), "options are too long");
  input.options = "a\nb";
  EXPECT_EQ(message(), "options contain characters that cannot be printed");
  input.options = "password=x";
  EXPECT_EQ(message(), "option \"password\" is not allowed");
  input.parsed_options.clear();
  EXPECT_EQ(message(), "ok");
}

TEST(NodeSpec, MayLieInSharedMemory) {
  static_assert(std::is_trivially_copyable_v<NodeSpec>);
  static_assert(std::is_standard_layout_v<NodeSpec>);
}

TEST(SlotName, FitsAndNeverMeetsThoseOfPgfed) {
  EXPECT_EQ(slot_name("leo"), "pgfed_leo");
  EXPECT_EQ(slot_name("a-b_c-"), "pgfed_a_b_c_");
  EXPECT_LE(slot_name(std::string(kMaxNameLength, 'a')).size(), 63U);
  // pgfed's own slots start with "pgfed__": that would need a name that starts with '_' or '-'.
  EXPECT_FALSE(check_name("_rewind").ok());
  EXPECT_FALSE(check_name("-rewind").ok());
}

}  // namespace
}  // namespace pgfed::core
