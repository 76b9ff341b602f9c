#pragma once

#include <cstddef>
#include <functional>
#include <vector>

#include "sim/event_queue.hpp"

namespace pgfed::sim {

/// When something was last out of order; a count, since faults overlap.
struct Disturbance {
  int ongoing = 0;
  Time last{};

  void begin() { ++ongoing; }
  void end(Time now) {
    --ongoing;
    last = now;
  }
  void touch(Time now) { last = now; }
  [[nodiscard]] bool quiet_since(Time since) const { return ongoing == 0 && last <= since; }
};

/// The way from one server to another; the way back is another one.
struct Path {
  Duration latency{};
  int cuts = 0;        ///< nothing arrives while there is one
  unsigned loss = 0;   ///< in a thousand
  unsigned twice = 0;  ///< in a thousand arrive a second time
  Duration delay{};    ///< at most that much longer: what is late is overtaken
  Disturbance disturbance;
};

/// Carries messages between servers that are numbered from zero.
class Network {
 public:
  Network(EventQueue& queue, Dice& dice) : queue_(queue), dice_(dice) {}

  void resize(std::size_t servers) {
    count_ = servers;
    paths_.resize(servers * servers);
  }
  [[nodiscard]] std::size_t size() const { return count_; }
  [[nodiscard]] Path& path(std::size_t from, std::size_t to) { return paths_[from * count_ + to]; }

  /// Calls `deliver` when and if the message arrives, perhaps twice.
  void send(std::size_t from, std::size_t to, const std::function<void()>& deliver) {
    const Path& path = this->path(from, to);
    if (path.cuts > 0 || dice_.per_mille(path.loss)) return;
    const int copies = dice_.per_mille(path.twice) ? 2 : 1;
    for (int i = 0; i < copies; ++i) {
      const Duration jitter = dice_.between(Duration::zero(), path.latency / 4);
      const Duration extra = dice_.between(Duration::zero(), path.delay);
      queue_.in(path.latency + jitter + extra, deliver);
    }
  }

 private:
  EventQueue& queue_;
  Dice& dice_;
  std::size_t count_ = 0;
  std::vector<Path> paths_;
};

}  // namespace pgfed::sim
