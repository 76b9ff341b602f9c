#include "pgfed/core/probe_verdict.hpp"

#include "pgfed/core/printable.hpp"
#include "pgfed/core/text.hpp"
#include "pgfed/core/tls_alert.hpp"

namespace pgfed::core {
namespace {

/// `certificate`, or which of the others it is.
std::string which(const ChainVerdict& verdict) {
  return verdict.depth == 0 ? "certificate"
                            : "CA certificate " + in_quotes(verdict.culprit.subject);
}

Judgement judge_issuer(const TlsFacts& facts) {
  const Certificate& culprit = facts.verdict.culprit;
  std::string detail = "certificate";
  if (facts.verdict.depth != 0) detail += " chain";
  detail += " ends in an issuer that is not trusted here: " + in_quotes(culprit.issuer);
  if (facts.chain.size() == 1) {
    detail += "; the server sent only its own certificate, so an intermediate one may be missing";
  }
  return {Diagnosis::unknown_ca, detail};
}

}  // namespace

Judgement judge_chain(const TlsFacts& facts) {
  const ChainVerdict& verdict = facts.verdict;
  const Certificate& culprit = verdict.culprit;
  if (!verdict.trust_problem.empty()) {
    return {Diagnosis::trust_unreadable, printable(verdict.trust_problem)};
  }
  if (facts.chain.empty()) return {Diagnosis::untrusted, "the server sent no certificate"};
  if (!verdict.checked) return {Diagnosis::untrusted, "certificate could not be verified"};

  switch (verdict.error) {
    case ChainError::none:
      return {Diagnosis::ok, printable(facts.chain.front().subject)};
    case ChainError::self_signed:
      return {Diagnosis::self_signed, "certificate is signed by itself, and not trusted here: " +
                                          in_quotes(culprit.subject)};
    case ChainError::unknown_issuer:
      return judge_issuer(facts);
    case ChainError::untrusted_root:
      return {Diagnosis::unknown_ca, "certificate chain ends in a CA that is not trusted here: " +
                                         in_quotes(culprit.subject)};
    case ChainError::missing_intermediate:
      return {Diagnosis::chain_incomplete,
              "the server does not send the intermediate certificate " + in_quotes(culprit.issuer)};
    case ChainError::expired:
      return {verdict.depth == 0 ? Diagnosis::expired : Diagnosis::ca_expired,
              which(verdict) + " expired on " + utc_text(culprit.not_after)};
    case ChainError::not_yet_valid:
      return {Diagnosis::not_yet_valid,
              which(verdict) + " is not valid before " + utc_text(culprit.not_before)};
    case ChainError::revoked:
      return {Diagnosis::revoked,
              which(verdict) + " is revoked: serial number " + printable(culprit.serial)};
    case ChainError::crl_missing:
      return {Diagnosis::crl_missing,
              "no valid CRL of " + in_quotes(culprit.issuer) + ": " + printable(verdict.reason)};
    case ChainError::weak_key:
      return {Diagnosis::weak_key,
              "key of " + which(verdict) + " is too weak: " + printable(culprit.key)};
    case ChainError::weak_digest:
      return {Diagnosis::weak_key, which(verdict) + " is signed with too weak an algorithm"};
    case ChainError::wrong_purpose:
      return {Diagnosis::wrong_purpose, verdict.depth == 0
                                            ? "certificate is not meant for a server"
                                            : which(verdict) + " is not meant for an authority"};
    case ChainError::other:
      break;
  }
  return {Diagnosis::untrusted, which(verdict) + " does not verify: " + printable(verdict.reason)};
}

Judgement judge_name(const TlsFacts& facts, std::string_view host) {
  if (facts.chain.empty()) return {Diagnosis::name_mismatch, "the server sent no certificate"};
  const Certificate& certificate = facts.chain.front();
  const HostMatch match = match_host(certificate, host);
  if (match.matches) {
    return {Diagnosis::ok, in_quotes(host) + (match.by_common_name ? " by its common name" : "")};
  }
  return {Diagnosis::name_mismatch,
          "certificate is for " + names_text(certificate) + ", not for " + in_quotes(host)};
}

ClientCertificate client_certificate_of(const TlsFacts& facts, std::uint8_t alert) {
  if (!facts.certificate_requested) return ClientCertificate::not_requested;
  if (facts.certificate_sent) {
    return rejects_certificate(alert) ? ClientCertificate::rejected : ClientCertificate::sent;
  }
  const bool refused = alert == tls_alert::kCertificateRequired ||
                       alert == tls_alert::kHandshakeFailure || rejects_certificate(alert);
  return refused ? ClientCertificate::required : ClientCertificate::none;
}

Judgement judge_client(const TlsFacts& facts, std::uint8_t alert, const std::string& own_problem) {
  if (!own_problem.empty()) return {Diagnosis::trust_unreadable, printable(own_problem)};
  switch (client_certificate_of(facts, alert)) {
    case ClientCertificate::required:
      return {Diagnosis::client_certificate_required,
              "the server wants a client certificate, and there is none to send (" +
                  alert_text(alert) + ")"};
    case ClientCertificate::rejected:
      return {Diagnosis::client_certificate_rejected,
              "the server does not accept this server's client certificate (" + alert_text(alert) +
                  ")"};
    case ClientCertificate::sent:
      return {Diagnosis::ok, "client certificate sent"};
    case ClientCertificate::none:
      return {Diagnosis::ok, "client certificate requested, none sent"};
    default:
      return {Diagnosis::ok, "no client certificate requested"};
  }
}

}  // namespace pgfed::core
