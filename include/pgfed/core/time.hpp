#pragma once

#include <chrono>
#include <cstdint>

namespace pgfed::core {

/// The monotonic clock of one server. Core never reads it: every instant is handed in. The shell
/// reads CLOCK_BOOTTIME, which also counts the time that a suspended machine slept, so that an age
/// is never too small; the simulation counts its own.
struct BootClock {
  using rep = std::int64_t;
  using period = std::micro;
  using duration = std::chrono::microseconds;
  using time_point = std::chrono::time_point<BootClock>;
  static constexpr bool is_steady = true;
};

using Duration = BootClock::duration;
using Instant = BootClock::time_point;

using std::chrono::microseconds;
using std::chrono::milliseconds;
using std::chrono::seconds;

/// "Never happened": the zero of the boot clock, at which nothing of ours can have run.
inline constexpr Instant kNever{};
/// "No deadline".
inline constexpr Instant kForever = Instant::max();

inline constexpr bool happened(Instant at) { return at != kNever; }

/// The age of `at`; zero where the clock appears to have gone backwards.
inline constexpr Duration age(Instant at, Instant now) {
  return now > at ? now - at : Duration::zero();
}

}  // namespace pgfed::core
