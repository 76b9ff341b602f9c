#pragma once

#include <openssl/ssl.h>

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "pgfed/core/event.hpp"
#include "pgfed/net/prober.hpp"
#include "pgfed/net/tls_trust.hpp"
#include "pgfed/net/x509.hpp"

#include "net_certificates.hpp"

/// Certificates, good and bad, and servers that show them.
namespace pgfed::net_test {

struct KeyFree {
  void operator()(EVP_PKEY* key) const noexcept { EVP_PKEY_free(key); }
};
using KeyOwner = std::unique_ptr<EVP_PKEY, KeyFree>;

/// "EC", "RSA 1024", "RSA 2048", "Ed25519"
KeyOwner make_key(const std::string& kind);

/// A certificate and its key, and those by which it was signed.
struct Credential {
  net::X509Owner certificate;
  KeyOwner key;
  [[nodiscard]] X509* x509() const { return certificate.get(); }
};

struct Wanted {
  std::string common_name{};
  std::string alt_names{};                   ///< as in openssl.cnf: "DNS:leo.example,IP:127.0.0.1"
  std::vector<std::string> raw_dns_names{};  ///< bytes as they are, after those
  const Credential* issuer = nullptr;        ///< null: signs itself
  bool authority = false;
  std::string key = "EC";
  std::string extended_usage{};  ///< "clientAuth"
  std::int64_t begins = -3600;   ///< seconds from now
  std::int64_t ends = 86400L * 90;
  long serial = 1;
};
Credential make_credential(const Wanted& wanted);
/// A list of revoked serial numbers, in PEM; valid for `seconds` from now.
std::string make_crl(const Credential& issuer, const std::vector<long>& serials,
                     long seconds = 3600);
std::string pem(X509* certificate);
std::string pem(EVP_PKEY* key);
std::string der(X509* certificate);

/// How a TLS server behaves.
struct ServerTls {
  const Credential* credential = nullptr;
  std::vector<X509*> more{};         ///< sent along
  X509* client_authority = nullptr;  ///< client certificates are asked for, and checked by this
  bool client_required = false;
  bool alpn = false;  ///< knows "postgresql", and refuses others
  int min_protocol = 0;
  int max_protocol = 0;
};
/// Its part of a connection: handshake, then waits for something to be said, or the end.
std::function<void(int)> tls_server(const ServerTls& how);
/// The same behind an SSLRequest that is answered with 'S'.
std::function<void(int)> postgres_server(const ServerTls& how);
/// Waits for the first bytes and leaves them there; empty: the end.
std::string peek_some(int socket);
/// The first bytes are an SSLRequest, which is taken out.
bool take_ssl_request(int socket);
/// Keeps the connection until the other side closes it.
void hold(int socket);
/// The name in a ClientHello; empty: none.
std::string server_name_in(const std::string& client_hello);

/// One CA and its files, as pgfed.conninfo names them.
struct Authority {
  Authority() : ca(make_credential({.common_name = "Our CA", .authority = true})) {
    folder.write("ca.crt", pem(ca.x509()));
    folder.write("none.crt", "");
  }
  [[nodiscard]] Credential server(Wanted wanted = {}) const {
    if (wanted.common_name.empty()) wanted.common_name = "leo";
    if (wanted.alt_names.empty()) wanted.alt_names = "IP:127.0.0.1,DNS:localhost";
    if (wanted.issuer == nullptr) wanted.issuer = &ca;
    return make_credential(wanted);
  }
  /// With no certificate of our own, whatever lies in the home of whoever runs this.
  [[nodiscard]] net::Keywords conninfo(const net::Keywords& more = {}) const {
    net::Keywords keywords = {{"sslrootcert", folder.file("ca.crt")},
                              {"sslcert", folder.file("absent")}};
    keywords.insert(keywords.end(), more.begin(), more.end());
    return keywords;
  }
  Folder folder;
  Credential ca;
};

/// A prober and the loop around it.
class ProbeDrill {
 public:
  explicit ProbeDrill(const net::Keywords& conninfo = {});

  core::ProbeId begin(const std::string& host, std::uint16_t port, const std::string& options = "",
                      core::Duration limit = core::seconds(5));
  /// Runs until this probe has ended (at most 15 seconds).
  core::ProbeResult end(core::ProbeId id);
  core::ProbeResult probe(const std::string& host, std::uint16_t port,
                          const std::string& options = "", core::Duration limit = core::seconds(5));
  /// Runs until so many have ended.
  bool run_until(std::size_t ended, core::Duration patience);

  int descriptors = 0;  ///< reserved now
  net::Prober prober;
  std::map<core::ProbeId, core::ProbeResult> results;
  core::Duration longest_run{};  ///< the most of the processor's time that one run() has taken

 private:
  core::ProbeId last_ = 0;
};

/// Whether this came out, with these words in the detail.
void expect_result(const core::ProbeResult& result, core::Diagnosis diagnosis,
                   core::ProbeStage stage, const std::string& words);

}  // namespace pgfed::net_test
