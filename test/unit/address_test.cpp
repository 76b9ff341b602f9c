#include "pgfed/core/address.hpp"

#include <arpa/inet.h>
#include <gtest/gtest.h>

#include <array>
#include <random>
#include <string>

namespace pgfed::core {
namespace {

bool system_accepts(int family, const std::string& text) {
  std::array<unsigned char, 16> address{};
  return inet_pton(family, text.c_str(), address.data()) == 1;
}

TEST(Address, Ipv4) {
  for (const char* text : {"0.0.0.0", "127.0.0.2", "192.0.2.1", "255.255.255.255", "1.20.255.0"}) {
    EXPECT_TRUE(is_ipv4(text)) << text;
  }
  for (const char* text :
       {"",         ".",         "...",        "1",         "1.2.3",     "1.2.3.4.5",
        "1.2.3.4.", ".1.2.3.4",  "1..2.3",     "256.0.0.1", "1.2.3.999", "01.2.3.4",
        "1.2.3.00", "1.2.3.a",   "1.2.3.-4",   "1.2.3.+4",  "1.2.3. 4",  " 1.2.3.4",
        "1.2.3.4 ", "0x1.2.3.4", "1.2.3.1000", "1.2.3.4/8", "::1"}) {
    EXPECT_FALSE(is_ipv4(text)) << text;
  }
}

TEST(Address, Ipv6) {
  for (const char* text :
       {"::", "::1", "1::", "2001:db8::1", "1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7::", "::2:3:4:5:6:7:8",
        "1:2::7:8", "::ffff:192.0.2.1", "1:2:3:4:5:6:1.2.3.4", "1::1.2.3.4", "FE80::A",
        "0000:0000:0000:0000:0000:0000:0000:0001", "fe80::1%eth0", "fe80::1%1", "fe80::1%br-lan.10",
        "::%fifteen_letters"}) {
    EXPECT_TRUE(is_ipv6(text)) << text;
  }
  for (const char* text : {"",
                           ":",
                           ":::",
                           "1",
                           "1:",
                           ":1",
                           "1:2:3:4:5:6:7",
                           "1:2:3:4:5:6:7:8:9",
                           "1:2:3:4:5:6:7:8::",
                           "::1:2:3:4:5:6:7:8",
                           "1::2::3",
                           "1:::2",
                           ":1::2",
                           "1::2:",
                           "12345::",
                           "g::1",
                           "[::1]",
                           "1:2:3:4:5:6:7:1.2.3.4",
                           "1.2.3.4::",
                           "::1.2.3.4:5",
                           "::1.2.3",
                           "::256.1.1.1",
                           "fe80::1%",
                           "fe80::1%a b",
                           "fe80::1%a%b",
                           "fe80::1%sixteen__letters",
                           "%eth0",
                           "::1 ",
                           " ::1",
                           "::1/64",
                           "1.2.3.4",
                           "1:2:3:4:5:6:7:8%e/h"}) {
    EXPECT_FALSE(is_ipv6(text)) << text;
  }
}

TEST(Address, AgreesWithTheSystemOnRandomTexts) {
  std::mt19937 random(3);  // NOLINT(cert-msc51-cpp): repeatable on purpose
  const std::array<std::string, 12> pieces = {":",  ":",  "::",   ".",   "1",       "0",
                                              "25", "ff", "abcd", "256", "1.2.3.4", "00"};
  int valid = 0;
  for (int round = 0; round < 200000; ++round) {
    std::string text;
    const auto count = random() % 18;
    for (unsigned i = 0; i < count; ++i) {
      text += pieces[random() % pieces.size()];
      if (random() % 2 == 0) text += random() % 3 == 0 ? "." : ":";
    }
    ASSERT_EQ(is_ipv4(text), system_accepts(AF_INET, text)) << text;
    ASSERT_EQ(is_ipv6(text), system_accepts(AF_INET6, text)) << text;
    valid += is_ipv4(text) || is_ipv6(text) ? 1 : 0;
  }
  EXPECT_GT(valid, 1000);
}

TEST(Address, Numeric) {
  for (const char* text : {"0", "1234", "10.1", "1.2.3", "1.2.3.4", "300.1.1.1", "0x7f.1",
                           "0X7F000001", "2130706433", "1.2.3.4.5", "010.0.0.1"}) {
    EXPECT_TRUE(is_numeric(text)) << text;
  }
  for (const char* text :
       {"", "a", "1a", "1.a", "0x", "0xg", "1..2", "1.", ".1", "db1", "1-2", "0x7f.example"}) {
    EXPECT_FALSE(is_numeric(text)) << text;
  }
}

}  // namespace
}  // namespace pgfed::core
