#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "pgfed/core/lsn.hpp"

namespace pgfed::core {

/// A checkpoint, on a standby a restart point, as pg_control_checkpoint() shows it.
struct Checkpoint {
  Lsn record;  ///< checkpoint_lsn: where its record starts
  Lsn redo;    ///< redo_lsn: where recovery from it starts
  std::uint32_t timeline = 0;
  bool operator==(const Checkpoint&) const = default;
};

/// This node's own checkpoints, as many as it takes to find the newest that everybody has replayed,
/// in a fixed amount of memory: where it is full, every second of the older ones is forgotten.
class CheckpointLog {
 public:
  static constexpr std::size_t kCapacity = 128;

  /// Takes what pg_control_checkpoint() shows now. A step backwards (another data directory, a
  /// rewind) starts afresh.
  void note(const Checkpoint& checkpoint);
  /// Oldest first.
  [[nodiscard]] const std::vector<Checkpoint>& entries() const { return entries_; }
  /// Zero where none is known.
  [[nodiscard]] Checkpoint newest() const {
    return entries_.empty() ? Checkpoint{} : entries_.back();
  }

 private:
  std::vector<Checkpoint> entries_;
};

}  // namespace pgfed::core
