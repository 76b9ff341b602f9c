#pragma once

#include <span>
#include <string_view>
#include <vector>

#include "pgfed/core/event.hpp"
#include "pgfed/core/picture.hpp"

namespace pgfed::core {

/// The names of the checks: stable, listed in the README.
namespace check {
inline constexpr const char* kSettings = "settings";        ///< names set, own row in the table
inline constexpr const char* kCatalog = "catalog";          ///< database, extension and table found
inline constexpr const char* kIdentity = "identity";        ///< this server is the node it says
inline constexpr const char* kPrimary = "primary";          ///< exactly one primary is seen
inline constexpr const char* kPeer = "peer";                ///< the node answers, as itself
inline constexpr const char* kReplication = "replication";  ///< the standby streams
inline constexpr const char* kLag = "lag";                  ///< within the node's own thresholds
inline constexpr const char* kDuplicate = "duplicate";      ///< one server under each name
inline constexpr const char* kVersion = "version";          ///< same library everywhere
inline constexpr const char* kTls = "tls";                  ///< its endpoint's path and TLS
inline constexpr const char* kCertificate = "certificate";  ///< validity of the one it serves
inline constexpr const char* kFiles = "tls_files";  ///< its certificate, key, CA and CRL files
inline constexpr const char* kSharedCertificate = "shared_certificate";  ///< the same everywhere
inline constexpr const char* kTrust = "trust";  ///< the same authorities on every node
inline constexpr const char* kSecurity =
    "security";                                   ///< of its replication: TLS, pg_hba, passwords
inline constexpr const char* kWorker = "worker";  ///< said by the reader of the views
}  // namespace check

/// The checks as they stand: one row a check, `since` kept while the status stays. Rows are written
/// anew at each evaluation; those that were not written again are gone.
class CheckBook {
 public:
  void begin() { next_.clear(); }
  /// `node` empty: about no single node. Detail and hint are dropped where the status is ok.
  void write(const char* name, const Name& node, Status status, std::string_view detail,
             std::string_view hint);
  /// Takes what was written; records an event for each check whose status changed, but for those
  /// that have an event of their own or that begin as ok.
  /// Says whether a row came, went or changed its status.
  bool end(Instant now, Actions& actions);

  /// Sorted by node, then name.
  [[nodiscard]] const std::vector<CheckRow>& rows() const { return rows_; }
  /// Those about one node.
  [[nodiscard]] std::span<const CheckRow> about(const Name& node) const;

 private:
  std::vector<CheckRow> rows_;
  std::vector<CheckRow> next_;
};

}  // namespace pgfed::core
