#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace pgfed::net {

/// A line of pg_hosts.conf (PostgreSQL 19): which files serve the clients that ask for these hosts.
struct HostsLine {
  std::size_t number = 0;  ///< of the line, from 1
  std::string hosts;       ///< as written: a list, `*` or `/no_sni/`
  std::string certificate;
  std::string key;
  std::string ca;  ///< empty: none
};

/// Fields as in pg_hba.conf: separated by blanks, perhaps in double quotes, lists by commas,
/// comments after '#', a line goes on after a backslash. Lines that lack a certificate or a key are
/// left out: PostgreSQL complains of them itself.
std::vector<HostsLine> parse_hosts_file(std::string_view text);

}  // namespace pgfed::net
