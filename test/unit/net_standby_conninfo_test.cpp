#include <gtest/gtest.h>

#include "pgfed/net/standby_conninfo.hpp"

namespace pgfed::net {
namespace {

using core::ProblemKind;

std::string told(const std::vector<core::Problem>& problems) {
  std::string text;
  for (const core::Problem& one : problems) {
    text += std::to_string(static_cast<int>(one.kind)) + " " + one.detail.str() + "\n";
  }
  return text;
}

TEST(NetStandbyConninfo, VerifyFullIsFine) {
  EXPECT_EQ(told(judge_primary_conninfo("")), "");
  EXPECT_EQ(told(judge_primary_conninfo("host=a user=b sslmode=verify-full")), "");
  EXPECT_EQ(told(judge_primary_conninfo("host=a sslrootcert=system")), "");
  EXPECT_EQ(told(judge_primary_conninfo("postgresql://u@a/?sslmode=verify-full")), "");
}

TEST(NetStandbyConninfo, WeakerModes) {
  EXPECT_EQ(told(judge_primary_conninfo("host=a")),
            "10 primary_conninfo has no sslmode, which means prefer: whoever sits in between can "
            "turn TLS off\n");
  EXPECT_EQ(
      told(judge_primary_conninfo("host=a sslmode=require")),
      "10 primary_conninfo has sslmode=require: any server with any certificate is trusted\n");
  EXPECT_EQ(told(judge_primary_conninfo("host=a sslmode=disable")),
            "10 primary_conninfo has sslmode=disable: the stream is not encrypted\n");
  EXPECT_EQ(judge_primary_conninfo("hostaddr=10.0.0.1 sslmode=verify-ca").size(), 1U);
  EXPECT_EQ(judge_primary_conninfo("host=/tmp,a").size(), 1U);
}

TEST(NetStandbyConninfo, SocketsNeedNoTls) {
  EXPECT_EQ(told(judge_primary_conninfo("user=a")), "");
  EXPECT_EQ(told(judge_primary_conninfo("host=/run,/tmp user=a sslmode=disable")), "");
}

TEST(NetStandbyConninfo, SecretsAreNamedAndNotRepeated) {
  const std::string text =
      told(judge_primary_conninfo("host=a sslmode=verify-full password=hunter2"));
  EXPECT_EQ(text, "11 primary_conninfo holds password\n");
  EXPECT_EQ(told(judge_primary_conninfo("postgresql://u:hunter2@a/?sslmode=verify-full")), text);
  // A slip of the quotes.
  EXPECT_EQ(told(judge_primary_conninfo("host=a sslmode=hunter2")), "");
  EXPECT_EQ(told(judge_primary_conninfo("host=a password='hunter2")), "");
}

TEST(NetStandbyConninfo, LiveStream) {
  EXPECT_EQ(told(judge_live_conninfo("host=a sslmode=prefer")), "");
  EXPECT_EQ(told(judge_live_conninfo("host=/tmp sslmode=disable")), "");
  const auto far = judge_live_conninfo("host=a sslmode=disable");
  ASSERT_EQ(far.size(), 1U);
  EXPECT_EQ(far[0].kind, ProblemKind::stream_without_tls);
  EXPECT_EQ(far[0].status, core::Status::critical);
  const auto near = judge_live_conninfo("host=127.0.0.2 sslmode=disable");
  ASSERT_EQ(near.size(), 1U);
  EXPECT_EQ(near[0].status, core::Status::warning);
}

}  // namespace
}  // namespace pgfed::net
