#include "pgfed/core/hba.hpp"

#include <gtest/gtest.h>

#include <string>

namespace pgfed::core {
namespace {

HbaRule rule(std::uint32_t line, std::string_view type, std::string_view databases,
             std::string_view users, std::string_view address, std::string_view netmask,
             std::string_view method, std::string_view options = {}) {
  return {line, "/etc/pg_hba.conf", type, databases, users, address, netmask, method, options};
}

std::string judged(const std::vector<HbaRule>& rules, std::size_t most = kMaxProblems) {
  std::string text;
  for (const Problem& one : judge_hba(rules, {.role = "pgfed", .database = "postgres"}, most)) {
    text += std::string(one.kind == ProblemKind::hba_trust ? "trust " : "plain ") +
            std::string(word(one.status)) + " " + one.detail.str() + "\n";
  }
  return text;
}

TEST(Hba, SoundRules) {
  EXPECT_EQ(judged({}), "");
  EXPECT_EQ(
      judged({rule(1, "local", "all", "all", "", "", "trust"),
              rule(2, "local", "replication", "all", "", "", "trust"),
              rule(3, "host", "all\nreplication", "all", "127.0.0.1", "255.255.255.255", "trust"),
              rule(4, "host", "replication", "all", "127.0.0.0", "255.0.0.0", "trust"),
              rule(5, "host", "replication", "all", "::1",
                   "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "trust"),
              rule(6, "host", "replication", "all", "samehost", "", "md5"),
              rule(7, "hostssl", "replication", "pgfed", "0.0.0.0", "0.0.0.0", "cert"),
              rule(8, "hostgssenc", "replication", "all", "all", "", "gss"),
              rule(9, "hostssl", "all", "all", "all", "", "trust", "clientcert=verify-full"),
              rule(10, "host", "all", "all", "all", "", "reject")}),
      "");
}

TEST(Hba, ReplicationWithoutTls) {
  EXPECT_EQ(judged({rule(94, "host", "replication", "all", "0.0.0.0", "0.0.0.0", "scram-sha-256")}),
            "plain warning TLS is not required by line 94 of pg_hba.conf: "
            "\"host replication all 0.0.0.0/0 scram-sha-256\"\n");
  EXPECT_EQ(
      judged({rule(1, "hostnossl", "a\nreplication", "x\ny", "10.1.0.0", "255.255.0.0", "md5")}),
      "plain warning TLS is not required by line 1 of pg_hba.conf: "
      "\"hostnossl a,replication x,y 10.1.0.0/16 md5\"\n");
  // `all` does not mean replication, but the exchange.
  EXPECT_NE(judged({rule(1, "host", "all", "all", "samenet", "", "md5")}), "");
}

TEST(Hba, OnlyWhatConcernsThePeers) {
  EXPECT_EQ(judged({rule(1, "host", "all", "app", "all", "", "md5")}), "");
  EXPECT_EQ(judged({rule(1, "host", "shop", "all", "all", "", "trust")}), "");
  EXPECT_NE(judged({rule(1, "host", "postgres", "app\npgfed", "all", "", "md5")}), "");
  EXPECT_NE(judged({rule(1, "host", "replication", "app", "all", "", "md5")}), "");
}

TEST(Hba, Trust) {
  EXPECT_EQ(judged({rule(3, "hostssl", "replication", "all", "all", "", "trust")}),
            "trust critical whoever asks is let in by line 3 of pg_hba.conf: "
            "\"hostssl replication all all trust\"\n");
  // One problem a line, and the worst first.
  EXPECT_EQ(judged({rule(1, "host", "replication", "all", "10.0.0.0", "255.0.0.0", "md5"),
                    rule(2, "host", "replication\nall", "all", "11.0.0.0", "255.0.0.0", "trust")})
                .substr(0, 14),
            "trust critical");
}

TEST(Hba, TheFirstLineDecides) {
  const HbaRule open = rule(9, "host", "replication", "pgfed", "10.0.0.0", "255.0.0.0", "md5");
  const HbaRule no_plain_replication =
      rule(1, "hostnossl", "replication", "all", "all", "", "reject");
  EXPECT_EQ(judged({no_plain_replication, open}), "");
  EXPECT_NE(judged({open, no_plain_replication}), "");
  // `all` as a database does not reach replication.
  EXPECT_NE(judged({rule(1, "hostnossl", "all", "all", "all", "", "reject"), open}), "");
  EXPECT_EQ(judged({rule(1, "hostnossl", "all\nreplication", "all", "0.0.0.0", "0.0.0.0", "reject"),
                    open}),
            "");
  EXPECT_EQ(
      judged({rule(1, "host", "replication", "pgfed", "10.0.0.0", "254.0.0.0", "reject"), open}),
      "");
  EXPECT_NE(
      judged({rule(1, "host", "replication", "pgfed", "10.1.0.0", "255.255.0.0", "reject"), open}),
      "");
  EXPECT_NE(judged({rule(1, "host", "replication", "app", "all", "", "reject"), open}), "");
  EXPECT_NE(judged({rule(1, "hostssl", "replication", "all", "all", "", "reject"), open}), "");
  // A rule that is never reached over TLS may still be without.
  EXPECT_NE(judged({rule(1, "hostssl", "all", "all", "all", "", "cert"),
                    rule(2, "host", "all", "all", "all", "", "trust")}),
            "");
}

TEST(Hba, NoMoreThanWanted) {
  std::vector<HbaRule> many;
  for (std::uint32_t i = 1; i <= 30; ++i) {
    many.push_back(rule(i, "host", "replication", "all", "db.example", "", "md5"));
    many.back().users = i % 2 == 0 ? "a" : "b";
  }
  // Only two of them are ever reached.
  EXPECT_EQ(judge_hba(many, {}, 16).size(), 2U);
  EXPECT_EQ(judge_hba(many, {}, 1).size(), 1U);
}

TEST(Hba, WhateverItSays) {
  EXPECT_NE(judged({rule(1, "host", "replication", std::string(500, 'x'), "not an address",
                         "255.0.255.0", "md5")}),
            "");
}

}  // namespace
}  // namespace pgfed::core
