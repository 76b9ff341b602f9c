#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "pgfed/core/event.hpp"
#include "pgfed/net/conninfo.hpp"
#include "pgfed/net/server_tls.hpp"

namespace pgfed::net {

/// A file or directory that was looked at, and what it was like then; see file_stamp.hpp.
struct WatchedPath {
  std::string path;
  bool directory = false;
  std::uint64_t stamp = 0;
};

/// One look at all the TLS files of a server.
struct FileSurvey {
  core::FilesRead read;  ///< but for server.load_known
  std::vector<WatchedPath> watched;
  std::int64_t newest =
      0;  ///< last change of a file that the server loads, microseconds since 1970
};

/// `conninfo`: the keywords of pgfed.conninfo.
FileSurvey survey_files(const ServerTls& server, const Keywords& conninfo);

}  // namespace pgfed::net
