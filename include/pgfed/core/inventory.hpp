#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "pgfed/core/certificate.hpp"
#include "pgfed/core/terms.hpp"
#include "pgfed/core/text.hpp"

/// What a node says of the TLS files on its disk and of how it is set up: each node reads its own,
/// and tells the others.
namespace pgfed::core {

/// pgfed.certificates.source. Part of the wire format: append, never renumber.
enum class CertificateSource : std::uint8_t {
  served = 0,
  ssl_cert_file = 1,
  ssl_ca_file = 2,
  sslrootcert = 3,  ///< of pgfed.conninfo, or of primary_conninfo where that names another file
  sslcert = 4,      ///< likewise
};

std::string_view word(CertificateSource value);

struct FileCertificate {
  CertificateSource source = CertificateSource::ssl_cert_file;
  std::uint8_t depth = 0;  ///< place in the file
  PathText path;
  Certificate certificate;
  Fingerprint anchor;  ///< that it ends in, by the CA file beside it; zero: none
  bool operator==(const FileCertificate&) const = default;
};

/// What can be wrong with a node's own set-up. Part of the wire format: append, never renumber.
enum class ProblemKind : std::uint8_t {
  unknown = 0,                 ///< of a newer peer
  file_unreadable = 1,         ///< a file that is configured cannot be read or parsed
  key_mismatch = 2,            ///< the key does not belong to the certificate
  key_permissions = 3,         ///< others may read the key: Postgres would refuse it
  key_passphrase = 4,          ///< the key has a passphrase: it cannot be looked at
  chain_incomplete = 5,        ///< the certificate file lacks an intermediate certificate
  not_served = 6,              ///< the file has been renewed, the server serves another one
  reload_blocked = 7,          ///< a reload would activate other edits as well
  reload_would_fail = 8,       ///< Postgres would keep the old files, silently
  name_missing = 9,            ///< the node's own name or address is not in its certificate
  weak_primary_conninfo = 10,  ///< sslmode below verify-full
  password_in_conninfo = 11,   ///< primary_conninfo holds a password
  stream_without_tls = 12,     ///< a walsender or the walreceiver is not on TLS
  hba_without_tls = 13,        ///< pg_hba.conf lets replication or peers in without TLS
  hba_trust = 14,              ///< pg_hba.conf lets them in without asking who they are
  old_tls_protocol = 15,       ///< ssl_min_protocol_version below TLSv1.2
  tls_off = 16,                ///< ssl = off
  hosts_file = 17,             ///< pg_hosts.conf (19): one of its certificates
  certificates_cut = 18,       ///< there are more certificates than are told
};
inline constexpr ProblemKind kLastProblemKind = ProblemKind::certificates_cut;

/// Whether the check `security` shows it; the others are shown by `tls_files`.
constexpr bool is_security(ProblemKind kind) {
  return kind >= ProblemKind::weak_primary_conninfo && kind <= ProblemKind::tls_off;
}

/// What to type, or to do, about it; fits into a check's hint.
std::string_view hint_for(ProblemKind kind);

struct Problem {
  ProblemKind kind = ProblemKind::unknown;
  Status status = Status::warning;
  DetailText detail;
  bool operator==(const Problem&) const = default;
};

inline constexpr std::size_t kMaxProblems = 24;

/// Everything of that which travels. It changes rarely, so that reports only carry its digest, and
/// the whole where the other side does not have it yet.
struct Inventory {
  std::uint64_t digest = 0;                   ///< of all that follows; 0: nothing has been read yet
  std::vector<FileCertificate> certificates;  ///< at most kMaxNodeCertificates
  std::vector<Problem> problems;              ///< at most kMaxProblems
  bool operator==(const Inventory&) const = default;
};

/// The digest of what an inventory holds (FNV-1a over its encoding); never 0.
std::uint64_t digest_of(const Inventory& inventory);

}  // namespace pgfed::core
