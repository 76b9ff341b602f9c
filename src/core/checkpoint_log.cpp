#include "pgfed/core/checkpoint_log.hpp"

namespace pgfed::core {

void CheckpointLog::note(const Checkpoint& checkpoint) {
  if (!checkpoint.record.valid() || !checkpoint.redo.valid()) return;
  if (!entries_.empty()) {
    if (entries_.back() == checkpoint) return;
    if (checkpoint.record <= entries_.back().record) entries_.clear();
  }
  if (entries_.size() >= kCapacity) {
    std::size_t kept = 0;
    for (std::size_t i = 0; i < entries_.size(); i += 2) entries_[kept++] = entries_[i];
    entries_.resize(kept);
  }
  entries_.push_back(checkpoint);
}

}  // namespace pgfed::core
