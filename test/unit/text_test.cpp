#include "pgfed/core/text.hpp"

#include <gtest/gtest.h>

#include <cstdint>
#include <random>
#include <string>
#include <type_traits>

namespace pgfed::core {
namespace {

std::string printable(std::string_view text, std::size_t limit = 4096) {
  std::string out(limit, '#');
  out.resize(copy_printable(text, out.data(), limit));
  return out;
}

/// UTF-8 of any number up to 21 bits, valid or not (surrogates), in the shortest form.
std::string encode_character(std::uint32_t code) {
  const auto byte = [](std::uint32_t value) { return static_cast<char>(value); };
  if (code < 0x80) return {byte(code)};
  if (code < 0x800) return {byte(0xC0 | (code >> 6)), byte(0x80 | (code & 0x3F))};
  if (code < 0x10000) {
    return {byte(0xE0 | (code >> 12)), byte(0x80 | ((code >> 6) & 0x3F)),
            byte(0x80 | (code & 0x3F))};
  }
  return {byte(0xF0 | (code >> 18)), byte(0x80 | ((code >> 12) & 0x3F)),
          byte(0x80 | ((code >> 6) & 0x3F)), byte(0x80 | (code & 0x3F))};
}

bool should_be_blank(std::uint32_t code) {
  return code < 0x20 || (code >= 0x7F && code <= 0x9F) || code == 0xAD || code == 0x61C ||
         code == 0x180E || (code >= 0x200B && code <= 0x200F) ||
         (code >= 0x2028 && code <= 0x202E) || (code >= 0x2060 && code <= 0x206F) ||
         code == 0xFEFF || (code >= 0xFFF9 && code <= 0xFFFB) ||
         (code >= 0xE0000 && code <= 0xE007F);
}

TEST(CopyPrintable, TreatsEveryCodePointByItsClass) {
  for (std::uint32_t code = 0; code <= 0x1FFFFF; ++code) {
    const std::string encoded = encode_character(code);
    const bool invalid = code > 0x10FFFF || (code >= 0xD800 && code <= 0xDFFF);
    const std::string expected = invalid                 ? std::string(encoded.size(), '?')
                                 : should_be_blank(code) ? " "
                                                         : encoded;
    std::array<char, 8> out{};
    const std::size_t length = copy_printable(encoded, out.data(), out.size());
    ASSERT_EQ(std::string_view(out.data(), length), expected) << "U+" << std::hex << code;
  }
}

TEST(CopyPrintable, BlanksTheControlsThatReorderText) {
  for (std::uint32_t code : {0x200EU, 0x200FU, 0x202AU, 0x202BU, 0x202CU, 0x202DU, 0x202EU, 0x2066U,
                             0x2067U, 0x2068U, 0x2069U, 0xFEFFU, 0x2028U, 0x2029U, 0x85U, 0x1BU}) {
    EXPECT_EQ(printable("a" + encode_character(code) + "b"), "a b") << std::hex << code;
  }
}

TEST(CopyPrintable, RefusesOverlongForms) {
  EXPECT_EQ(printable("\xC0\x80"), "??");            // NUL in two bytes
  EXPECT_EQ(printable("\xC1\xBF"), "??");            // DEL in two
  EXPECT_EQ(printable("\xE0\x9F\xBF"), "???");       // U+07FF in three
  EXPECT_EQ(printable("\xF0\x8F\xBF\xBF"), "????");  // U+FFFF in four
  EXPECT_EQ(printable("\xF8\x88\x80\x80\x80"), "?????");
  EXPECT_EQ(printable("\xFE\xFF"), "??");
}

TEST(CopyPrintable, RefusesEveryPairOfBytesThatIsNoCharacter) {
  for (int first = 0x80; first <= 0xFF; ++first) {
    for (int second = 0; second <= 0xFF; ++second) {
      const std::string text = {static_cast<char>(first), static_cast<char>(second), 'x'};
      const std::string out = printable(text);
      ASSERT_EQ(out.back(), 'x');
      const bool valid = first >= 0xC2 && first <= 0xDF && second >= 0x80 && second <= 0xBF;
      ASSERT_EQ(out.front() == '?', !valid) << first << ' ' << second;
    }
  }
}

TEST(CopyPrintable, KeepsWhatFollowsABrokenCharacter) {
  EXPECT_EQ(printable("\xE2\x82"), "??");
  EXPECT_EQ(printable("\xE2\x82z"), "??z");
  EXPECT_EQ(printable("\xE2z"), "?z");
  EXPECT_EQ(printable("\xF0\x9F\x98"), "???");
  EXPECT_EQ(printable("\x80\xBFok"), "??ok");
  EXPECT_EQ(printable("\xE2\xE2\x82\xAC"), "?\xE2\x82\xAC");
}

TEST(CopyPrintable, CutsAtTheBorderOfACharacter) {
  const std::string euro = "\xE2\x82\xAC";
  const std::string grin = "\xF0\x9F\x98\x80";
  EXPECT_EQ(printable("ab" + euro, 5), "ab" + euro);
  EXPECT_EQ(printable("ab" + euro, 4), "ab");
  EXPECT_EQ(printable("ab" + euro, 3), "ab");
  EXPECT_EQ(printable("ab" + euro, 2), "ab");
  EXPECT_EQ(printable("a" + grin, 4), "a");
  EXPECT_EQ(printable(grin, 4), grin);
  // What comes after the cut does not slip in, though it would fit.
  EXPECT_EQ(printable("ab" + euro + "c", 3), "ab");
  EXPECT_EQ(printable("ab\x01", 2), "ab");
  EXPECT_EQ(printable("ab\xFF", 2), "ab");
  EXPECT_EQ(printable("abc", 0), "");
  EXPECT_EQ(printable("", 0), "");
}

TEST(CopyPrintable, ReplacesNulAndLineFeed) {
  EXPECT_EQ(printable(std::string_view("a\0b", 3)), "a b");
  EXPECT_EQ(printable("a\r\nb\tc"), "a  b c");
}

TEST(CopyPrintable, IsIdempotentAndKeepsItsLimitOnRandomBytes) {
  std::mt19937 random(1);  // NOLINT(cert-msc51-cpp): repeatable on purpose
  for (int round = 0; round < 20000; ++round) {
    std::string text(random() % 40, '\0');
    for (char& c : text) c = static_cast<char>(random() % 4 == 0 ? random() : 0x70 + random() % 32);
    const std::size_t limit = random() % 48;
    const std::string once = printable(text, limit);
    ASSERT_LE(once.size(), limit);
    ASSERT_EQ(printable(once, limit), once);
  }
}

TEST(InQuotes, ShortensAndMakesPrintable) {
  EXPECT_EQ(in_quotes("leo"), "\"leo\"");
  EXPECT_EQ(in_quotes(""), "\"\"");
  EXPECT_EQ(in_quotes("a\nb"), "\"a b\"");
  EXPECT_EQ(in_quotes(std::string(64, 'x')), "\"" + std::string(64, 'x') + "\"");
  EXPECT_EQ(in_quotes(std::string(65, 'x')), "\"" + std::string(64, 'x') + "...\"");
  EXPECT_EQ(in_quotes(std::string(5000, 'x')), "\"" + std::string(64, 'x') + "...\"");
  const std::string euro = "\xE2\x82\xAC";
  std::string many;
  for (int i = 0; i < 30; ++i) many += euro;
  std::string shown;
  for (int i = 0; i < 21; ++i) shown += euro;
  EXPECT_EQ(in_quotes(many), "\"" + shown + "...\"");
  EXPECT_EQ(in_quotes(std::string(63, 'x') + euro), "\"" + std::string(63, 'x') + "...\"");
}

TEST(Text, MayLieInSharedMemory) {
  static_assert(std::is_trivially_copyable_v<Name>);
  static_assert(std::is_trivially_destructible_v<Name>);
  static_assert(std::is_standard_layout_v<Name>);
  static_assert(sizeof(Name) == kMaxNameLength + 1);
}

TEST(Text, HoldsOneByteLessThanItsSize) {
  EXPECT_EQ(Text<4>("abc"), "abc");
  EXPECT_EQ(Text<4>("abcd"), "abc");
  EXPECT_EQ(Text<4>("ab\xE2\x82\xAC"), "ab");
  EXPECT_EQ(Text<1>("abc"), "");
  EXPECT_TRUE(Text<8>().empty());
  EXPECT_EQ(Text<8>("abcdefg").c_str()[7], '\0');
}

TEST(Text, ClearsTheBytesOfALongerPredecessor) {
  Text<8> text("longer");
  text.assign("ab");
  EXPECT_EQ(text.bytes, Text<8>("ab").bytes);
  EXPECT_EQ(text.view(), "ab");
  EXPECT_EQ(text.str(), "ab");
  text.clear();
  EXPECT_TRUE(text.empty());
  EXPECT_EQ(text.bytes, Text<8>().bytes);
}

TEST(Text, Compares) {
  EXPECT_TRUE(Text<8>("a") == Text<8>("a"));
  EXPECT_FALSE(Text<8>("a") == Text<8>("b"));
  EXPECT_TRUE(Text<8>("a") == std::string_view("a"));
  EXPECT_TRUE(Text<8>("a") != "ab");
}

}  // namespace
}  // namespace pgfed::core
