#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "pgfed/core/random.hpp"
#include "pgfed/core/time.hpp"

namespace pgfed::sim {

using core::Duration;

/// Time since the simulation began, the same for everybody: no server can read it.
using Time = core::Duration;

/// All that is left to chance, drawn from the seed of the run.
class Dice {
 public:
  explicit Dice(std::uint64_t seed) : random_(seed) {}

  std::uint64_t next() { return random_.next(); }
  /// 0 to count - 1.
  std::size_t below(std::size_t count) { return static_cast<std::size_t>(random_.next() % count); }
  bool chance(unsigned percent) { return below(100) < percent; }
  bool per_mille(unsigned share) { return share != 0 && below(1000) < share; }
  Duration between(Duration low, Duration high) {
    return high <= low ? low : random_.between(low, high);
  }
  template <typename T>
  const T& pick(const std::vector<T>& from) {
    return from[below(from.size())];
  }

 private:
  core::Random random_;
};

}  // namespace pgfed::sim
