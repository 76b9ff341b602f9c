#pragma once

#include "pgfed/pg/postgres_api.hpp"

/// How this server is set up, as far as only SQL tells: pg_hba.conf and the streams that it sends.
namespace pgfed::pg {

/// Reads and judges it, and publishes what is wrong. For the catalog worker, in a transaction of the
/// caller's and under its safe settings: everything is schema-qualified, nothing is written, and it
/// works on a standby. Raises an error where a query fails. Returns true where it is news.
bool read_setup();

}  // namespace pgfed::pg
