#pragma once

#include <cstdint>

#include "pgfed/core/report.hpp"

namespace pgfed::core {

/// What is fixed while a server runs.
struct Self {
  Name node;        ///< pgfed.node_name; empty: the federation idles
  Name federation;  ///< pgfed.federation_name
  Incarnation incarnation;
  std::uint64_t system_identifier = 0;
  VersionText library_version;
  std::uint32_t server_version = 0;
  std::uint64_t seed = 1;  ///< of the jitter
};

/// What a reload may change.
struct Settings {
  Mode mode = Mode::active;
  Duration peer_interval = seconds(1);
  Duration peer_timeout = seconds(2);
  Duration lag_warning = seconds(10);
  Duration lag_critical = seconds(60);
  TlsPaths paths;
  Duration tls_interval = seconds(60);
  CertificateThresholds certificate;
  bool tls_reload = true;
  bool operator==(const Settings&) const = default;
};

}  // namespace pgfed::core
