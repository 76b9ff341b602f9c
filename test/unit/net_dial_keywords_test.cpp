#include <gtest/gtest.h>

#include "pgfed/net/conninfo.hpp"
#include "pgfed/net/dial_keywords.hpp"

namespace {

using pgfed::core::NodeSpec;
using pgfed::net::dial_keywords;
using pgfed::net::value_of;

NodeSpec node_with(const char* options) {
  NodeSpec node;
  node.name = "pit";
  node.host = "127.0.0.4";
  node.options = options;
  return node;
}

TEST(DialKeywords, VerifyEverythingUnlessThisServersOwnSettingSaysOtherwise) {
  const auto plain = dial_keywords(node_with(""), {}, "postgres");
  ASSERT_TRUE(plain);
  EXPECT_EQ(value_of(plain.value(), "sslmode"), "verify-full");
  EXPECT_EQ(value_of(plain.value(), "dbname"), "postgres");
  const auto own = dial_keywords(node_with(""), {{"sslmode", "disable"}}, "postgres");
  ASSERT_TRUE(own);
  EXPECT_EQ(value_of(own.value(), "sslmode"), "disable");
}

TEST(DialKeywords, TakeTheEndpointsOptions) {
  const auto keywords = dial_keywords(node_with("keepalives_idle=7"), {}, "postgres");
  ASSERT_TRUE(keywords);
  EXPECT_EQ(value_of(keywords.value(), "keepalives_idle"), "7");
}

/// A row that did not come by pgfed.add_node(), but from a dump that somebody edited.
TEST(DialKeywords, RefuseWhatARowMayNotSay) {
  for (const char* options : {"sslmode=disable", "password=x", "user=postgres", "passfile=/tmp/x",
                              "sslkey=/tmp/x", "service=x", "options='-c role=postgres'"}) {
    const auto keywords = dial_keywords(node_with(options), {}, "postgres");
    EXPECT_FALSE(keywords) << options;
  }
}

}  // namespace
