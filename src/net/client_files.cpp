#include "pgfed/net/client_files.hpp"

#include <pwd.h>
#include <unistd.h>

#include <array>
#include <cstdlib>

namespace pgfed::net {

namespace {

std::string home_directory() {
  // NOLINTNEXTLINE(concurrency-mt-unsafe)
  const char* home = std::getenv("HOME");
  if (home != nullptr && *home != '\0') return home;
  std::array<char, 4096> buffer{};
  passwd entry{};
  passwd* found = nullptr;
  if (getpwuid_r(geteuid(), &entry, buffer.data(), buffer.size(), &found) != 0 ||
      found == nullptr) {
    return {};
  }
  return found->pw_dir;
}

/// What the keyword names, or else libpq's default where that is there.
std::string file_of(const Keywords& conninfo, std::string_view keyword, const char* standard,
                    const std::string& directory) {
  const std::string_view given = value_of(conninfo, keyword);
  if (!given.empty()) return absolute_path(given, directory);
  const std::string home = home_directory();
  if (home.empty()) return {};
  std::string path = home + "/.postgresql/" + standard;
  return access(path.c_str(), F_OK) == 0 ? path : std::string();
}

}  // namespace

std::string absolute_path(std::string_view path, std::string_view directory) {
  if (path.empty() || path.front() == '/' || directory.empty()) return std::string(path);
  return std::string(directory) + "/" + std::string(path);
}

ClientFiles client_files(const Keywords& conninfo, const std::string& directory) {
  ClientFiles files;
  if (value_of(conninfo, "sslmode") == "disable") return files;
  files.system_roots = value_of(conninfo, "sslrootcert") == "system";
  if (!files.system_roots) {
    files.sslrootcert = file_of(conninfo, "sslrootcert", "root.crt", directory);
  }
  if (value_of(conninfo, "sslcertmode") == "disable") return files;
  files.sslcert = file_of(conninfo, "sslcert", "postgresql.crt", directory);
  // With a colon it names a key in an engine.
  if (!files.sslcert.empty() && value_of(conninfo, "sslkey").find(':') == std::string_view::npos) {
    files.sslkey = file_of(conninfo, "sslkey", "postgresql.key", directory);
  }
  return files;
}

}  // namespace pgfed::net
