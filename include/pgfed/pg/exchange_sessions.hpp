#pragma once

#include "pgfed/pg/postgres_api.hpp"

/// The backends that serve peers. Their sessions stand for days, in pgfed.database: a command that
/// needs the database alone must be able to end them. Postgres regime.
namespace pgfed::pg {

/// Of the array in shared memory: one entry for each backend that there can be.
Size exchange_sessions_size();

/// Notes that this backend serves a peer; FATAL 57P03 where a command needs the database alone right
/// now. The peer dials again by itself.
void enter_exchange();

/// The backends that serve peers in a database, at one moment.
struct ExchangeSessions {
  std::size_t count = 0;
  int* pids = nullptr;  ///< palloc'd
  Oid database = InvalidOid;

  /// Whether one of them is still there.
  [[nodiscard]] bool any_left() const;
};

/// Tells those that are there to end. Others that come afterwards end by themselves, as long as the
/// hold is in force: see enter_exchange().
ExchangeSessions end_exchange_sessions(Oid database);

}  // namespace pgfed::pg
