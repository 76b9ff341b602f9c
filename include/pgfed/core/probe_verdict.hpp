#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "pgfed/core/certificate.hpp"
#include "pgfed/core/probe.hpp"

/// From what a handshake has shown to what is to be said of it.
namespace pgfed::core {

/// What ended the verification of a chain.
enum class ChainError : std::uint8_t {
  none = 0,
  self_signed,           ///< the server's own certificate, that nobody here trusts
  unknown_issuer,        ///< of the certificate at fault
  untrusted_root,        ///< the certificate at fault is a root, and was only sent along
  missing_intermediate,  ///< it would verify with a certificate that is known here, but was not sent
  expired,
  not_yet_valid,
  revoked,
  crl_missing,  ///< or out of date, or not to be trusted
  weak_key,
  weak_digest,
  wrong_purpose,
  other,
};

struct ChainVerdict {
  bool checked = false;       ///< false: there was no trust to check it against, or no certificate
  std::string trust_problem;  ///< why there was none: "sslrootcert /etc/ca.crt: No such file ..."
  ChainError error = ChainError::none;
  std::size_t depth = 0;  ///< of the certificate at fault; 0: the server's own
  Certificate culprit;
  std::string reason;  ///< OpenSSL's words for the error
  Fingerprint anchor;  ///< where all is well
};

/// What a handshake has shown, whether or not it came to its end.
struct TlsFacts {
  std::string protocol;
  std::string cipher;
  std::string alpn;
  bool certificate_requested = false;
  bool certificate_sent = false;
  std::vector<Certificate> chain;
  ChainVerdict verdict;
};

struct Judgement {
  Diagnosis diagnosis = Diagnosis::ok;
  std::string detail;  ///< printable; where all is well, what a step of pgfed.probe() says
  [[nodiscard]] bool ok() const { return diagnosis == Diagnosis::ok; }
};

Judgement judge_chain(const TlsFacts& facts);
/// `host`: as libpq's verify-full would compare it.
Judgement judge_name(const TlsFacts& facts, std::string_view host);
/// `alert`: the number of that by which the server ended the handshake, or the session right after
/// it; 0: none. `own_problem`: why our own certificate cannot be presented; empty: it can, or there
/// is none.
Judgement judge_client(const TlsFacts& facts, std::uint8_t alert, const std::string& own_problem);
ClientCertificate client_certificate_of(const TlsFacts& facts, std::uint8_t alert);

}  // namespace pgfed::core
