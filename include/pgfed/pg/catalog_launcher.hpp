#pragma once

#include "pgfed/core/time.hpp"
#include "pgfed/pg/postgres_api.hpp"

namespace pgfed::pg {

/// Keeps the worker `pgfed catalog` running; part of the federation worker. Postgres regime.
///
/// The catalog worker ends by itself: when it has found the database (it is started again, connected
/// to it), when the database goes, and when a command needs the database alone. It is started at
/// once then; only one that ended soon after its start waits, longer each time.
class CatalogLauncher {
 public:
  /// Looks after it; called each turn.
  void tend(core::Instant now);
  /// When tend() is wanted.
  [[nodiscard]] core::Instant deadline() const { return due_; }

 private:
  void note_end(core::Instant now);
  void launch(core::Instant now);

  BackgroundWorkerHandle* handle_ = nullptr;
  Oid database_ = InvalidOid;  ///< with which the present one was started
  core::Instant launched_at_{};
  core::Instant due_{};
  core::Duration wait_{};
  bool complained_ = false;
};

}  // namespace pgfed::pg
