#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "pgfed/core/result.hpp"

namespace pgfed::net {

using Keywords = std::vector<std::pair<std::string, std::string>>;

/// Parses a connection string as libpq does (keyword = value pairs or a URI); only the keywords
/// that it names are returned, a keyword given twice with its last value. Error 22023; never
/// repeats what was given, since it may hold a secret.
///
/// In the form with pairs, keywords that this libpq does not know are returned too: a table that is
/// shared by servers with different libraries may name them, and whether they are allowed is for
/// the caller to say. See libpq_knows().
core::Result<Keywords> parse_conninfo(const std::string& conninfo);

/// What pgfed.conninfo may hold: everything that says how to get in. Refused (22023, with a hint):
/// password and sslpassword (settings are readable by pg_monitor), host, hostaddr and port (the
/// table says where), service, options, replication and what pgfed sets itself.
core::Result<Keywords> parse_peer_conninfo(const std::string& conninfo);

/// Writes keywords as a connection string, quoted where needed, in the given order.
std::string format_conninfo(const Keywords& keywords);

/// The value of a keyword, or empty.
std::string_view value_of(const Keywords& keywords, std::string_view keyword);

/// Whether the libpq that is loaded now has this keyword.
bool libpq_knows(const std::string& keyword);

}  // namespace pgfed::net
