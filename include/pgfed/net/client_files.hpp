#pragma once

#include <string>

#include "pgfed/net/conninfo.hpp"

namespace pgfed::net {

/// The files that libpq takes for a connection string, with its defaults for those that it does not
/// name: in ~/.postgresql, and only where they exist. Empty: none.
struct ClientFiles {
  std::string sslrootcert;
  bool system_roots = false;  ///< sslrootcert=system
  std::string sslcert;
  std::string sslkey;  ///< empty too where it is no file
};

/// Relative paths are relative to `directory`. None at all where there will be no TLS.
ClientFiles client_files(const Keywords& conninfo, const std::string& directory);

/// `path` as seen from `directory`; an empty one stays empty.
std::string absolute_path(std::string_view path, std::string_view directory);

}  // namespace pgfed::net
