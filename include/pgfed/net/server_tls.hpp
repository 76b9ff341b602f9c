#pragma once

#include <cstdint>
#include <string_view>

namespace pgfed::net {

/// How this server is told to do TLS: its settings, as texts, and what else decides whether a reload
/// is in order. Trivially copyable, so that the Postgres half of the worker can fill it in; whoever
/// keeps it copies the texts.
struct ServerTls {
  bool ssl = false;                 ///< ssl = on
  std::string_view data_directory;  ///< what relative paths are relative to
  std::string_view ssl_cert_file;
  std::string_view ssl_key_file;
  std::string_view ssl_ca_file;  ///< empty: none; so with the two below
  std::string_view ssl_crl_file;
  std::string_view ssl_crl_dir;
  bool passphrase_reload = false;  ///< ssl_passphrase_command works at a reload too
  std::string_view ssl_min_protocol_version;
  std::string_view hosts_file;  ///< pg_hosts.conf (19), where ssl_sni is on; empty: none
  std::string_view primary_conninfo;
  std::string_view live_conninfo;  ///< of the walreceiver while it streams; else empty
  std::string_view listen_addresses;
  std::uint16_t port = 0;
  std::int64_t load_time = 0;   ///< of the last (re)load, microseconds since 1970
  std::string_view other_edit;  ///< another configuration file edited since; empty: none
  bool operator==(const ServerTls&) const = default;
};

/// A numeric address at which a server with these listen_addresses can be dialled from its own
/// machine; empty where there is none (none listed, or names only).
std::string_view local_address(std::string_view listen_addresses);

}  // namespace pgfed::net
