#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "pgfed/core/inventory.hpp"

/// What pg_hba.conf lets in: by which lines replication, or the peers' role, gets in without TLS or
/// without being asked who it is.
namespace pgfed::core {

/// A line of pg_hba.conf as pg_hba_file_rules shows it. Trivially copyable: the texts are whoever's
/// made it.
struct HbaRule {
  std::uint32_t line = 0;
  std::string_view file;       ///< path
  std::string_view type;       ///< local, host, hostssl, hostnossl, hostgssenc, hostnogssenc
  std::string_view databases;  ///< one a line
  std::string_view users;      ///< likewise
  std::string_view address;    ///< an address, a host name, all, samehost, samenet; empty: local
  std::string_view netmask;    ///< empty where the address is none
  std::string_view method;
  std::string_view options;  ///< key=value, one a line
};

/// Who is to be kept out.
struct HbaAudience {
  std::string_view role;      ///< of the peers; empty: not known, only `all` is taken for it
  std::string_view database;  ///< in which they meet
};

/// One problem a line at most, the worst first, at most `most`. As in the server, the first line
/// that fits decides, so that what an earlier line catches altogether (as `hostnossl all,replication
/// all all reject` does) is not held against a later one. Connections from the machine itself are
/// fine. Not understood: groups (+role), regular expressions, and files (@name) of names.
std::vector<Problem> judge_hba(std::span<const HbaRule> rules, const HbaAudience& audience,
                               std::size_t most);

}  // namespace pgfed::core
