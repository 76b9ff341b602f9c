#pragma once

#include <functional>

#include "pgfed/core/time.hpp"

namespace pgfed::net {

/// What those that own sockets need of the process they live in: the clock of the core, and somebody
/// who counts descriptors, since Postgres must know how many are not its own.
struct Hooks {
  std::function<core::Instant()> now;
  std::function<void()> reserve_descriptor;  ///< before one is opened
  std::function<void()> release_descriptor;  ///< after one was closed
};

}  // namespace pgfed::net
