#pragma once

#include <cstdint>
#include <functional>
#include <queue>
#include <utility>
#include <vector>

#include "sim/dice.hpp"

namespace pgfed::sim {

/// The simulated clock: what is to happen, in the order of time, and of arrival where times are
/// equal.
class EventQueue {
 public:
  [[nodiscard]] Time now() const { return now_; }
  [[nodiscard]] bool empty() const { return queue_.empty(); }

  void at(Time when, std::function<void()> what) {
    queue_.push({when < now_ ? now_ : when, ++count_, std::move(what)});
  }
  void in(Duration delay, std::function<void()> what) { at(now_ + delay, std::move(what)); }

  /// Does the next thing if it is due by `end`.
  bool run_one(Time end) {
    if (queue_.empty() || queue_.top().when > end) return false;
    // top() is const, yet it is ours and popped at once.
    Item item = std::move(const_cast<Item&>(queue_.top()));  // NOLINT
    queue_.pop();
    now_ = item.when;
    item.what();
    return true;
  }
  void run_until(Time end) {
    while (run_one(end)) {
    }
    now_ = end;
  }

 private:
  struct Item {
    Time when;
    std::uint64_t order;
    std::function<void()> what;
  };
  struct Later {
    bool operator()(const Item& a, const Item& b) const {
      return a.when != b.when ? a.when > b.when : a.order > b.order;
    }
  };

  Time now_{};
  std::uint64_t count_ = 0;
  std::priority_queue<Item, std::vector<Item>, Later> queue_;
};

}  // namespace pgfed::sim
