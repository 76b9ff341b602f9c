#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "pgfed/core/certificate.hpp"
#include "pgfed/core/text.hpp"
#include "pgfed/core/time.hpp"

/// What a fresh dial of an endpoint found out: its path, its TLS, its certificate.
namespace pgfed::core {

/// One probe of one endpoint; a number never used again.
using ProbeId = std::uint64_t;

/// How an endpoint begins: with an SSLRequest, or with TLS at once (sslnegotiation=direct).
enum class Negotiation : std::uint8_t { postgres = 0, direct = 1 };

/// The rungs of the ladder, in order; of pgfed.tls.stage and pgfed.probe().
enum class ProbeStage : std::uint8_t {
  none = 0,
  resolve,    ///< the name became addresses
  connect,    ///< TCP
  negotiate,  ///< SSLRequest and its answer; left out with sslnegotiation=direct
  handshake,  ///< TLS as such, whatever the certificate
  chain,      ///< the certificate, up to an anchor
  name,       ///< the names in it
  client,     ///< what the server thinks of our certificate
  done,       ///< nothing is wrong
};

/// pgfed.tls.diagnosis. Stable; listed in the README.
enum class Diagnosis : std::uint8_t {
  unknown = 0,  ///< not looked at yet
  ok,
  unresolved,                  ///< the name does not resolve
  tcp_refused,                 ///< nothing listens, or a firewall rejects
  tcp_timeout,                 ///< no answer to SYN, or no route to the host
  no_answer,                   ///< accepts the connection and stays silent
  closed,                      ///< accepts the connection and closes it without a word
  plaintext_only,              ///< the server has ssl = off
  server_error,                ///< answers the SSLRequest with an error message
  not_postgres,                ///< something else listens there
  router_needs_clienthello,    ///< answers only if TLS comes at once: sslnegotiation=direct
  route_missing,               ///< a router has no route for this name
  backend_too_old_for_direct,  ///< a server before PostgreSQL 17 is dialled with direct negotiation
  alpn_missing,                ///< TLS at once, but the server does not speak ALPN "postgresql"
  handshake_failed,
  client_certificate_required,
  client_certificate_rejected,  ///< the server does not accept the one that it was sent
  self_signed,
  unknown_ca,
  chain_incomplete,  ///< an intermediate certificate was not sent along
  expired,
  not_yet_valid,
  ca_expired,
  revoked,
  crl_missing,  ///< CRLs are configured, and there is no (current) one of this issuer
  weak_key,
  wrong_purpose,  ///< not a server's certificate
  untrusted,      ///< does not verify for another reason
  name_mismatch,
  trust_unreadable,  ///< the CA, CRL or certificate of pgfed.conninfo cannot be loaded here
};

enum class ClientCertificate : std::uint8_t {
  unknown = 0,
  not_requested,  ///< the server did not ask for one
  none,           ///< it asked, and there is none to send
  sent,
  rejected,
  required,  ///< it asked, got none, and refused
};

struct ProbeStep {
  ProbeStage stage = ProbeStage::none;
  bool ok = false;
  std::string detail;  ///< printable
  Duration elapsed{};  ///< of this step
};

struct ProbeResult {
  ProbeStage stage = ProbeStage::none;  ///< the first rung that failed, or `done`
  Diagnosis diagnosis = Diagnosis::unknown;
  Negotiation negotiation = Negotiation::postgres;  ///< what the endpoint asks for
  std::string protocol;                             ///< "TLSv1.3"; empty: no handshake
  std::string cipher;
  std::string alpn;
  std::optional<bool> chain_ok;  ///< nothing: no certificate seen, or no trust to check it against
  std::optional<bool> host_match;  ///< likewise
  ClientCertificate client_certificate = ClientCertificate::unknown;
  std::string detail;              ///< what is wrong, printable; empty where nothing is
  std::vector<Certificate> chain;  ///< as served, the server's own first, at most kMaxChain
  Fingerprint anchor;              ///< that the verified chain ends in
  std::vector<ProbeStep> steps;    ///< in order, for pgfed.probe()
  /// route_missing and backend_too_old_for_direct look alike from afar: which of them it is, is a
  /// guess, that somebody who knows the server's version can better.
  bool guessed = false;
};

std::string_view word(Negotiation value);
std::string_view word(ProbeStage value);
std::string_view word(Diagnosis value);
std::string_view word(ClientCertificate value);
std::string_view word(CertificateState value);

/// What kind of trouble it is for somebody who wants to use the endpoint: everything but ok is
/// critical, except where it is not the endpoint's fault, or may be over soon: see the table.
Status status_of(Diagnosis diagnosis);

/// Whether it is the way there that fails, not the server's TLS.
bool is_path(Diagnosis diagnosis);

/// pgfed.federation.certificate, as far as the diagnosis decides it.
CertificateState certificate_state_of(Diagnosis diagnosis);

}  // namespace pgfed::core
