#pragma once

#include <cstdint>
#include <memory>

#include "pgfed/core/event.hpp"
#include "pgfed/core/time.hpp"
#include "pgfed/net/conninfo.hpp"
#include "pgfed/net/server_tls.hpp"

namespace pgfed::net {

/// The TLS files of this server as they lie on the disk: those that it serves with, and those with
/// which it dials its peers and its upstream. Reads and judges them; changes nothing. Knows no
/// Postgres headers; throws nothing but lack of memory.
class TlsFiles {
 public:
  TlsFiles();
  ~TlsFiles();
  TlsFiles(const TlsFiles&) = delete;
  TlsFiles& operator=(const TlsFiles&) = delete;

  /// Where they are, and since when they are loaded; copied. Cheap where nothing is new.
  void set_server(const ServerTls& server);
  /// The keywords of pgfed.conninfo.
  void set_conninfo(const Keywords& conninfo);

  /// Whether read() is in order: it never was called, something was set since, or a file is not what
  /// it was; never before set_server(). A change is believed once it has stood still for a second (or has gone on for five),
  /// since certificate and key are rarely replaced in the same moment. Looks, by stat, once a second
  /// at most.
  bool due(core::Instant now);
  /// When due() would look again.
  [[nodiscard]] core::Instant next_look() const;

  /// Reads everything: some tens of milliseconds at worst, on a disk that answers.
  core::FilesRead read();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace pgfed::net
