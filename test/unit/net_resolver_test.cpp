#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <fstream>
#include <optional>

#include "pgfed/net/resolver.hpp"

#include "net_peers.hpp"

namespace pgfed::net {
namespace {

using net_test::boot_now;

/// A name server on loopback: counts what it is asked, and answers only when told to.
class NameServer {
 public:
  NameServer() : socket_(socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t length = sizeof address;
    EXPECT_EQ(bind(socket_, reinterpret_cast<sockaddr*>(&address), length), 0);
    EXPECT_EQ(getsockname(socket_, reinterpret_cast<sockaddr*>(&address), &length), 0);
    port_ = ntohs(address.sin_port);
  }
  ~NameServer() { close(socket_); }
  NameServer(const NameServer&) = delete;
  NameServer& operator=(const NameServer&) = delete;

  [[nodiscard]] std::string where() const { return "127.0.0.1:" + std::to_string(port_); }

  /// Reads the questions that have come. With `answer`, A questions get 192.0.2.7 and .8, others
  /// an empty answer. The number of questions.
  int serve(bool answer) {
    int count = 0;
    std::array<char, 1500> bytes{};
    sockaddr_storage from{};
    for (;;) {
      socklen_t length = sizeof from;
      const ssize_t size = recvfrom(socket_, bytes.data(), bytes.size(), 0,
                                    reinterpret_cast<sockaddr*>(&from), &length);
      if (size < 0) return count;
      ++count;
      if (!answer) continue;
      const std::string question(bytes.data(), static_cast<std::size_t>(size));
      const std::string reply = reply_to(question);
      sendto(socket_, reply.data(), reply.size(), 0, reinterpret_cast<sockaddr*>(&from), length);
    }
  }

 private:
  static std::string reply_to(const std::string& question) {
    const std::size_t name_end = question.find('\0', 12);
    const std::string asked = question.substr(12, name_end + 5 - 12);
    const bool is_a = asked[asked.size() - 3] == 1;
    std::string reply = question.substr(0, 2) + std::string("\x81\x80", 2) + net_test::be16(1) +
                        net_test::be16(is_a ? 2 : 0) + net_test::be16(0) + net_test::be16(0) +
                        asked;
    for (const char last : {'\x07', '\x08'}) {
      if (!is_a) break;
      reply += std::string("\xc0\x0c", 2) + net_test::be16(1) + net_test::be16(1) +
               net_test::be32(60) + net_test::be16(4) + std::string("\xc0\x00\x02", 3) + last;
    }
    return reply;
  }

  int socket_;
  std::uint16_t port_ = 0;
};

class NetResolver : public testing::Test {
 protected:
  Resolver make(const std::string& servers, const std::string& conf = "/etc/resolv.conf") {
    return Resolver({.now = boot_now,
                     .reserve_descriptor = [this] { ++descriptors; },
                     .release_descriptor = [this] { --descriptors; }},
                    {.servers = servers, .resolv_conf = conf});
  }

  /// Runs until `id` is answered, or for `patience`.
  std::optional<Resolver::Answer> wait_for(Resolver& resolver, Resolver::LookupId id,
                                           NameServer* server = nullptr, bool answering = false,
                                           core::Duration patience = core::seconds(20)) {
    const core::Instant end = boot_now() + patience;
    while (boot_now() < end) {
      const auto found = std::find_if(answers.begin(), answers.end(),
                                      [id](const auto& answer) { return answer.id == id; });
      if (found != answers.end()) return *found;
      if (server != nullptr) questions += server->serve(answering);
      pollfd ready{.fd = resolver.descriptor(), .events = POLLIN, .revents = 0};
      const auto wait = std::min<core::Duration>(core::milliseconds(10),
                                                 core::age(boot_now(), resolver.next_deadline()));
      poll(&ready, 1, static_cast<int>(wait.count() / 1000));
      resolver.run(answers);
    }
    return std::nullopt;
  }

  std::vector<Resolver::Answer> answers;
  int descriptors = 0;
  int questions = 0;
};

TEST_F(NetResolver, KnowsNumericAddresses) {
  EXPECT_EQ(Resolver::numeric("127.0.0.1"), "127.0.0.1");
  EXPECT_EQ(Resolver::numeric("::1"), "::1");
  EXPECT_EQ(Resolver::numeric("0:0::1"), "::1");
  EXPECT_EQ(Resolver::numeric("fe80::1%lo"), "fe80::1%lo");
  EXPECT_EQ(Resolver::numeric("localhost"), "");
  EXPECT_EQ(Resolver::numeric(""), "");
  EXPECT_EQ(Resolver::numeric("1.2.3.4,5.6.7.8"), "");
}

TEST_F(NetResolver, AnswersNumericAddressesAtOnce) {
  NameServer silent;
  Resolver resolver = make(silent.where());
  resolver.start(1, "192.0.2.1");
  EXPECT_EQ(resolver.next_deadline(), core::kNever);
  resolver.run(answers);
  ASSERT_EQ(answers.size(), 1U);
  EXPECT_EQ(answers[0].addresses, std::vector<std::string>{"192.0.2.1"});
  EXPECT_EQ(silent.serve(false), 0);
}

TEST_F(NetResolver, ReadsEtcHosts) {
  NameServer silent;
  Resolver resolver = make(silent.where());
  resolver.start(1, "localhost");
  const auto answer = wait_for(resolver, 1, nullptr, false, core::seconds(2));
  ASSERT_TRUE(answer);
  EXPECT_NE(std::find(answer->addresses.begin(), answer->addresses.end(), "127.0.0.1"),
            answer->addresses.end());
}

TEST_F(NetResolver, AsksNameServers) {
  NameServer server;
  Resolver resolver = make(server.where());
  resolver.start(1, "leo.example.org");
  const auto answer = wait_for(resolver, 1, &server, true);
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->error, "");
  EXPECT_EQ(answer->addresses, (std::vector<std::string>{"192.0.2.7", "192.0.2.8"}));
}

TEST_F(NetResolver, ASilentNameServerHoldsNobodyUp) {
  NameServer silent;
  Resolver resolver = make(silent.where());
  resolver.start(1, "leo.example.org");
  const core::Instant before = boot_now();
  resolver.start(2, "127.0.0.1");
  resolver.start(3, "localhost");
  resolver.run(answers);
  EXPECT_LT(core::age(before, boot_now()), core::milliseconds(500));
  ASSERT_EQ(answers.size(), 2U);
  EXPECT_EQ(answers[0].id, 2U);
  EXPECT_EQ(answers[1].id, 3U);
  EXPECT_NE(resolver.next_deadline(), core::kForever);
}

TEST_F(NetResolver, GoesOnToTheNextNameServer) {
  NameServer silent;
  NameServer server;
  Resolver resolver = make(silent.where() + "," + server.where());
  resolver.start(1, "leo.example.org");
  const core::Instant before = boot_now();
  const auto answer = wait_for(resolver, 1, &server, true);
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->addresses.size(), 2U);
  EXPECT_LT(core::age(before, boot_now()), core::milliseconds(1800));
}

TEST_F(NetResolver, SaysSoInTheEnd) {
  NameServer silent;
  Resolver resolver = make(silent.where());
  resolver.start(1, "leo.example.org");
  const auto answer = wait_for(resolver, 1, &silent, false);
  ASSERT_TRUE(answer);
  EXPECT_TRUE(answer->addresses.empty());
  EXPECT_EQ(answer->error.find("could not translate host name \"leo.example.org\" to address: "),
            0U);
  EXPECT_GT(questions, 0);
}

TEST_F(NetResolver, AsksOnceForMany) {
  NameServer server;
  Resolver resolver = make(server.where());
  for (Resolver::LookupId id = 1; id <= 20; ++id) resolver.start(id, "leo.example.org");
  ASSERT_TRUE(wait_for(resolver, 20, &server, true));
  EXPECT_EQ(answers.size(), 20U);
  EXPECT_LE(questions, 2);  // A and AAAA
}

TEST_F(NetResolver, ForgetsCancelledLookups) {
  NameServer server;
  Resolver resolver = make(server.where());
  resolver.start(1, "leo.example.org");
  resolver.start(2, "leo.example.org");
  resolver.start(3, "127.0.0.1");
  resolver.cancel(1);
  resolver.cancel(3);
  resolver.cancel(99);
  ASSERT_TRUE(wait_for(resolver, 2, &server, true));
  EXPECT_EQ(answers.size(), 1U);
}

TEST_F(NetResolver, ReadsResolvConfAgain) {
  const std::string conf = testing::TempDir() + "pgfed_resolv.conf." + std::to_string(getpid());
  std::ofstream(conf) << "# first\n";
  NameServer server;
  {
    Resolver resolver = make(server.where(), conf);
    resolver.start(1, "leo.example.org");
    EXPECT_FALSE(wait_for(resolver, 1, &server, false, core::milliseconds(100)));
    EXPECT_GT(questions, 0);
    questions = 0;
    std::ofstream(conf) << "# another\n";
    // What was being asked is asked again, and the next lookup as well.
    resolver.start(2, "ait.example.org");
    ASSERT_TRUE(wait_for(resolver, 2, &server, true));
    ASSERT_TRUE(wait_for(resolver, 1, &server, true));
    EXPECT_GE(questions, 4);
  }
  EXPECT_EQ(descriptors, 0);
  std::filesystem::remove(conf);
}

TEST_F(NetResolver, GivesItsDescriptorsBack) {
  NameServer server;
  {
    Resolver resolver = make(server.where());
    EXPECT_EQ(descriptors, 1);
    resolver.start(1, "leo.example.org");
    EXPECT_GE(descriptors, 2);
    ASSERT_TRUE(wait_for(resolver, 1, &server, true));
    resolver.start(2, "ait.example.org");  // left unanswered
  }
  EXPECT_EQ(descriptors, 0);
}

}  // namespace
}  // namespace pgfed::net
