#pragma once

#include <cstdint>
#include <string_view>
#include <variant>
#include <vector>

#include "pgfed/core/inventory.hpp"
#include "pgfed/core/node.hpp"
#include "pgfed/core/probe.hpp"
#include "pgfed/core/report.hpp"
#include "pgfed/core/settings.hpp"

/// What goes into and comes out of Federation::step().
namespace pgfed::core {

/// How the catalog worker found pgfed.database.
enum class CatalogState : std::uint8_t {
  unknown = 0,   ///< not looked at yet
  no_database,   ///< pgfed.database does not exist
  no_extension,  ///< CREATE EXTENSION pgfed has not been run there
  bad_table,     ///< pgfed.nodes is not the table that the extension made
  foreign,       ///< the table belongs to a cluster with another system identifier
  ready,
};

/// One attempt to reach one node; a number never used again, so that what a transport says late
/// about an attempt that was given up is recognised and ignored.
using Attempt = std::uint64_t;
/// One request on a session, likewise.
using RequestId = std::uint64_t;

// ---- in --------------------------------------------------------------------------------------

/// Time has passed: deadlines are looked at.
struct Tick {};
struct SettingsChanged {
  Settings settings;
};
struct NodesChanged {
  CatalogState state = CatalogState::unknown;
  std::vector<NodeSpec> nodes;
  std::uint64_t table_system_identifier = 0;  ///< 0: the table does not say yet
  VersionText extension_version;
};
struct FactsTaken {
  Facts facts;
};
/// What is known of a session once it stands.
struct SessionInfo {
  std::uint32_t server_version = 0;
  VersionText tls_protocol;  ///< empty: no TLS
  Text<128> client_dn;       ///< subject of the certificate we presented, empty where none
};
struct SessionOpened {
  Attempt attempt = 0;
  SessionInfo info;
};
struct Failure {
  Stage stage = Stage::none;
  FailureKind kind = FailureKind::none;
  Text<6> sqlstate;
  ErrorText message;
  bool operator==(const Failure&) const = default;
};
/// How far an attempt has come: what it is doing now. Only for words: when the core's own deadline
/// ends an attempt, this is the stage that it names.
struct SessionProgress {
  Attempt attempt = 0;
  Stage stage = Stage::none;
};
/// The session is gone, whatever it was doing.
struct SessionFailed {
  Attempt attempt = 0;
  Failure failure;
};
struct ReplyReceived {
  Attempt attempt = 0;
  RequestId request = 0;
  Report report;
};
/// A peer called pgfed.exchange() here: hearsay.
struct Heard {
  Report report;
  Name
      certificate_node;  ///< the node that the caller's client certificate names, where it names one
};
/// A probe has come to its end.
struct Probed {
  ProbeId id = 0;
  ProbeResult result;
};
/// Peers are dialled in another way from now on (pgfed.conninfo): what was verified, was verified
/// against something else.
struct TrustChanged {};
/// The files by which this server does TLS, as they lie on the disk now.
struct ServerFiles {
  bool ssl = false;          ///< ssl = on
  std::uint64_t digest = 0;  ///< of the bytes of certificate, key, CA and CRL; 0: not read
  Fingerprint leaf;          ///< of the certificate in ssl_cert_file
  bool loadable = false;     ///< Postgres would take them at a reload
  bool sealed = false;       ///< whether it would, cannot be known: the key has a passphrase
  DetailText why_not;        ///< the reason if it would not
  bool load_known = false;   ///< the files are older than the server's last (re)load
  DetailText other_edit;     ///< another configuration file that a reload would activate too
  HostText listen_host;      ///< a numeric address at which this server listens; empty: none
  std::uint16_t listen_port = 0;
  bool operator==(const ServerFiles&) const = default;
};
/// This server's TLS files were read: what they hold, and what is wrong with them.
struct FilesRead {
  Inventory inventory;  ///< `digest` unused
  ServerFiles server;
};
/// How this server is set up otherwise (pg_hba.conf, primary_conninfo, its streams): what is wrong.
struct SetupRead {
  std::vector<Problem> problems;
};
using Event =
    std::variant<Tick, SettingsChanged, NodesChanged, FactsTaken, SessionProgress, SessionOpened,
                 SessionFailed, ReplyReceived, Heard, Probed, TrustChanged, FilesRead, SetupRead>;

// ---- out -------------------------------------------------------------------------------------

/// Open a session to this node; answer with SessionOpened or SessionFailed.
struct Dial {
  Attempt attempt = 0;
  NodeSpec node;
};
/// Send our report; answer with ReplyReceived or SessionFailed.
struct Ask {
  Attempt attempt = 0;
  RequestId request = 0;
  std::uint64_t known_inventory = 0;  ///< digest of the peer's inventory that we have; 0: none
};
/// Close the session, also while it is being opened; no answer is expected.
struct Hangup {
  Attempt attempt = 0;
};
/// A line for pgfed.events and the server log.
struct Record {
  Severity severity = Severity::info;
  Text<32> event;  ///< one of the stable names in the README
  Name node;       ///< whom it is about; empty: the federation
  DetailText detail;
};
/// Dial this endpoint afresh and look at its TLS; answer with Probed.
struct Probe {
  ProbeId id = 0;
  NodeSpec endpoint;
  Duration limit{};
};
/// Forget the probe; no answer is expected.
struct CancelProbe {
  ProbeId id = 0;
};
/// Have the server read its configuration, and so its TLS files, again.
struct ReloadServer {};
using Action = std::variant<Dial, Ask, Hangup, Record, Probe, CancelProbe, ReloadServer>;
using Actions = std::vector<Action>;

}  // namespace pgfed::core
