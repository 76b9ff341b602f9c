#pragma once

#include <openssl/ssl.h>
#include <sys/stat.h>

#include <array>
#include <memory>
#include <string>
#include <vector>

#include "pgfed/core/probe_verdict.hpp"
#include "pgfed/net/conninfo.hpp"
#include "pgfed/net/x509.hpp"

namespace pgfed::net {

struct SslContextFree {
  void operator()(SSL_CTX* context) const noexcept { SSL_CTX_free(context); }
};
using SslContext = std::unique_ptr<SSL_CTX, SslContextFree>;

/// The files of a set of libpq's parameters, with its defaults (~/.postgresql/...) filled in; empty:
/// none.
struct TlsFileNames {
  std::string root;     ///< sslrootcert
  bool system = false;  ///< sslrootcert=system, of a libpq that knows it (16)
  std::string crl;
  std::string crl_folder;
  bool crl_named = false;  ///< sslcrl or sslcrldir is set
  std::string certificate;
  bool certificate_named = false;  ///< sslcert is set
  std::string key;
  bool operator==(const TlsFileNames&) const = default;
};
TlsFileNames tls_file_names(const Keywords& conninfo);

/// What a handshake is made with and a chain is checked against, as it was read at one moment.
class TlsSetup {
 public:
  explicit TlsSetup(const Keywords& conninfo);

  /// For a client that takes every certificate, in every strength: what it is worth is said by
  /// verify(). Null: out of memory.
  [[nodiscard]] SSL_CTX* context() const { return context_.get(); }
  /// Checks a chain as served, the server's own certificate first, as libpq with sslmode=verify-full
  /// would do it here and now; not the name.
  [[nodiscard]] core::ChainVerdict verify(const STACK_OF(X509) * chain) const;
  /// Why there is nothing to check a chain against; empty: there is.
  [[nodiscard]] const std::string& trust_problem() const { return trust_problem_; }
  /// Why the client certificate cannot be presented; empty: it can, or there is none.
  [[nodiscard]] const std::string& own_problem() const { return own_problem_; }
  /// The oldest protocol that is offered: "TLSv1.2".
  [[nodiscard]] const std::string& min_protocol() const { return min_protocol_; }

 private:
  void set_protocols(const Keywords& conninfo);
  void load_trust(const TlsFileNames& files);
  void load_revocations(const TlsFileNames& files);
  void load_own(const TlsFileNames& files);
  core::ChainVerdict verify_with(X509* leaf, STACK_OF(X509) * untrusted) const;

  SslContext context_;
  int security_level_ = 0;  ///< that libpq's own contexts have
  std::string trust_problem_;
  std::string own_problem_;
  std::string min_protocol_;
  std::vector<X509Owner> known_;  ///< certificates that came with our own
};

/// Keeps a setup for as long as its files stay as they are.
class TlsTrust {
 public:
  void set_conninfo(const Keywords& conninfo);
  /// Reads the files if they have changed since. Whoever holds the result may keep it.
  std::shared_ptr<const TlsSetup> current();

 private:
  struct Stamp {
    dev_t device = 0;
    ino_t inode = 0;
    off_t size = 0;
    timespec changed{};
    bool operator==(const Stamp& other) const;
  };
  using Stamps = std::array<Stamp, 5>;
  static Stamps stamps_of(const TlsFileNames& files);

  Keywords conninfo_;
  Stamps stamps_{};
  std::shared_ptr<const TlsSetup> setup_;
};

}  // namespace pgfed::net
