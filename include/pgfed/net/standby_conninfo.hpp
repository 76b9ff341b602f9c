#pragma once

#include <string>
#include <vector>

#include "pgfed/core/inventory.hpp"

/// What is to be said of the connection string by which a standby follows its upstream. None of
/// these ever repeats a value other than sslmode's.
namespace pgfed::net {

/// primary_conninfo as it is set: sslmode weaker than verify-full, a password in it. Nothing where
/// it is empty, cannot be parsed (Postgres complains of that), or names unix sockets only.
std::vector<core::Problem> judge_primary_conninfo(const std::string& conninfo);

/// The connection string of a walreceiver that is streaming (pg_stat_wal_receiver.conninfo): whether
/// its stream is certainly not on TLS.
std::vector<core::Problem> judge_live_conninfo(const std::string& conninfo);

}  // namespace pgfed::net
