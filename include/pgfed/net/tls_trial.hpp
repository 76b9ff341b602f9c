#pragma once

#include <string>
#include <vector>

#include "pgfed/core/inventory.hpp"
#include "pgfed/net/x509.hpp"

/// Would a server, or libpq, load these files? Tried with OpenSSL as they would do it.
namespace pgfed::net {

/// A file that was read once: what was judged is what was shown.
struct FileContent {
  std::string path;   ///< empty: none is configured
  std::string bytes;  ///< of a key too: see wipe()
  std::string error;  ///< why it could not be read; empty: it was
  [[nodiscard]] bool configured() const { return !path.empty(); }
};

/// Reads it, at most kMaxCertificateFile bytes. An empty path is no file, and no error.
FileContent read_content(const std::string& path);

/// Overwrites the bytes.
void wipe(FileContent& content);

/// A path for a message: quoted, and its beginning cut where it is long.
std::string shown_path(const std::string& path);

/// The files by which a server does TLS.
struct ServerFileSet {
  FileContent certificate;
  FileContent key;
  FileContent ca;
  FileContent crl;
};

enum class TrialEnd {
  loads,
  refused,  ///< `kind` and `why` say what is wrong
  sealed,   ///< the key has a passphrase: it cannot be told
};

struct Trial {
  TrialEnd end = TrialEnd::loads;
  core::ProblemKind kind = core::ProblemKind::unknown;
  std::string why;
};

/// As PostgreSQL loads them when it starts or is reloaded (be_tls_init).
Trial try_server_files(const ServerFileSet& files);

/// As libpq loads a client certificate and its key.
Trial try_client_files(const FileContent& certificate, const FileContent& key);

}  // namespace pgfed::net
