#pragma once

#include <cstdint>
#include <stdexcept>
#include <string>
#include <string_view>

#include "sim/dice.hpp"

namespace pgfed::sim {

/// An invariant that does not hold: ends the run.
class Violation : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// Everything that happens, as a hash (two runs of one seed must agree) and, on demand, in words.
class Trace {
 public:
  explicit Trace(bool verbose) : verbose_(verbose) {}

  [[nodiscard]] bool verbose() const { return verbose_; }
  [[nodiscard]] std::uint64_t hash() const { return hash_; }

  void mix(std::uint64_t value) {
    hash_ ^= value;
    hash_ *= 0x100000001b3ULL;
    hash_ ^= hash_ >> 29U;
  }
  void mix(std::string_view text) {
    for (const char c : text) mix(static_cast<std::uint64_t>(static_cast<unsigned char>(c)));
  }
  /// One line; `what` is a string or makes one, only when it is wanted.
  template <typename What>
  void line(Time at, std::string_view who, What what) {
    if (verbose_) print(at, who, what());
  }

 private:
  static void print(Time at, std::string_view who, const std::string& what);

  bool verbose_;
  std::uint64_t hash_ = 0xcbf29ce484222325ULL;
};

/// `12.345678` seconds.
std::string show(Duration duration);

}  // namespace pgfed::sim
