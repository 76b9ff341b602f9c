#pragma once

#include <optional>

#include "pgfed/core/report.hpp"
#include "pgfed/core/terms.hpp"
#include "pgfed/core/time.hpp"

namespace pgfed::core {

/// A node's replay lag against its own thresholds, without flapping: a level begins at its
/// threshold, and ends once the lag has been below 80 % of it for two intervals of the node.
class LagStatus {
 public:
  struct Transition {
    Status from = Status::unknown;
    Status to = Status::unknown;
    Instant at{};
    std::optional<Duration> lag;
    bool operator==(const Transition&) const = default;
  };

  /// `lag` as it is at `now`; nothing: unknown at once, the levels are remembered. A stale lag is a
  /// lower bound: it may begin a level, but is no evidence that one is over.
  std::optional<Transition> update(std::optional<Duration> lag, bool stale,
                                   const JudgedBy& judged_by, Instant now);

  [[nodiscard]] Status status() const { return status_; }
  [[nodiscard]] Instant since() const { return since_; }  ///< kNever: before the first update

 private:
  struct Level {
    bool on = false;
    Instant below_since{};  ///< kNever: not below

    void update(Duration lag, bool stale, Duration threshold, Duration patience, Instant now);
  };

  Level warning_;
  Level critical_;
  Status status_ = Status::unknown;
  Instant since_{};
};

}  // namespace pgfed::core
