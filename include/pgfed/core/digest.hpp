#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <type_traits>

namespace pgfed::core {

/// FNV-1a, 64 bits, over numbers and texts of known length, so that no two sequences run together.
/// Tells a change; proves nothing against somebody who looks for a collision.
class Digest {
 public:
  void add(std::string_view text) {
    add(text.size());
    for (const char c : text) add_byte(static_cast<unsigned char>(c));
  }
  template <typename Number, typename = std::enable_if_t<std::is_integral_v<Number>>>
  void add(Number number) {
    auto rest = static_cast<std::uint64_t>(number);
    for (std::size_t i = 0; i < sizeof rest; ++i, rest >>= 8U) {
      add_byte(static_cast<unsigned char>(rest));
    }
  }
  template <std::size_t N>
  void add(const std::array<std::uint8_t, N>& bytes) {
    for (const std::uint8_t byte : bytes) add_byte(byte);
  }
  /// Never 0, which is left to say that there is none.
  [[nodiscard]] std::uint64_t value() const { return hash_ != 0 ? hash_ : 1; }

 private:
  void add_byte(unsigned char byte) {
    constexpr std::uint64_t kPrime = 0x100000001b3ULL;
    hash_ = (hash_ ^ byte) * kPrime;
  }
  std::uint64_t hash_ = 0xcbf29ce484222325ULL;
};

}  // namespace pgfed::core
