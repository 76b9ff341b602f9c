#pragma once

#include <cstdint>

#include "pgfed/core/time.hpp"

namespace pgfed::core {

/// A small deterministic generator (splitmix64) for jitter: not for secrets.
class Random {
 public:
  explicit Random(std::uint64_t seed) : state_(seed) {}

  std::uint64_t next() {
    std::uint64_t z = (state_ += 0x9e3779b97f4a7c15ULL);
    z = (z ^ (z >> 30U)) * 0xbf58476d1ce4e5b9ULL;
    z = (z ^ (z >> 27U)) * 0x94d049bb133111ebULL;
    return z ^ (z >> 31U);
  }
  /// Evenly from `low` to `high`, both included.
  Duration between(Duration low, Duration high) {
    const auto span = static_cast<std::uint64_t>((high - low).count()) + 1;
    return low + Duration(static_cast<Duration::rep>(next() % span));
  }

 private:
  std::uint64_t state_;
};

}  // namespace pgfed::core
