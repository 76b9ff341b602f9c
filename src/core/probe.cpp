#include "pgfed/core/probe.hpp"

#include <array>

#include "pgfed/core/terms.hpp"

namespace pgfed::core {

namespace {

struct DiagnosisTerm {
  Diagnosis diagnosis;
  std::string_view word;
  Status status;
  CertificateState certificate;
};

constexpr Status kOk = Status::ok;
constexpr Status kWarning = Status::warning;
constexpr Status kCritical = Status::critical;
constexpr CertificateState kUnseen = CertificateState::unknown;
constexpr CertificateState kUntrusted = CertificateState::untrusted;

/// In the order of the enumeration.
constexpr std::array kTerms = {
    DiagnosisTerm{Diagnosis::unknown, "unknown", Status::unknown, kUnseen},
    DiagnosisTerm{Diagnosis::ok, "ok", kOk, CertificateState::ok},
    DiagnosisTerm{Diagnosis::unresolved, "unresolved", kCritical, kUnseen},
    DiagnosisTerm{Diagnosis::tcp_refused, "tcp_refused", kCritical, kUnseen},
    DiagnosisTerm{Diagnosis::tcp_timeout, "tcp_timeout", kCritical, kUnseen},
    DiagnosisTerm{Diagnosis::no_answer, "no_answer", kCritical, kUnseen},
    DiagnosisTerm{Diagnosis::closed, "closed", kCritical, kUnseen},
    DiagnosisTerm{Diagnosis::plaintext_only, "plaintext_only", kCritical,
                  CertificateState::plaintext},
    DiagnosisTerm{Diagnosis::server_error, "server_error", kWarning, kUnseen},
    DiagnosisTerm{Diagnosis::not_postgres, "not_postgres", kCritical, kUnseen},
    DiagnosisTerm{Diagnosis::router_needs_clienthello, "router_needs_clienthello", kCritical,
                  kUnseen},
    DiagnosisTerm{Diagnosis::route_missing, "route_missing", kCritical, kUnseen},
    DiagnosisTerm{Diagnosis::backend_too_old_for_direct, "backend_too_old_for_direct", kCritical,
                  kUnseen},
    DiagnosisTerm{Diagnosis::alpn_missing, "alpn_missing", kCritical, kUnseen},
    DiagnosisTerm{Diagnosis::handshake_failed, "handshake_failed", kCritical, kUnseen},
    DiagnosisTerm{Diagnosis::client_certificate_required, "client_certificate_required", kCritical,
                  kUnseen},
    DiagnosisTerm{Diagnosis::client_certificate_rejected, "client_certificate_rejected", kCritical,
                  kUnseen},
    DiagnosisTerm{Diagnosis::self_signed, "self_signed", kCritical, kUntrusted},
    DiagnosisTerm{Diagnosis::unknown_ca, "unknown_ca", kCritical, kUntrusted},
    DiagnosisTerm{Diagnosis::chain_incomplete, "chain_incomplete", kCritical, kUntrusted},
    DiagnosisTerm{Diagnosis::expired, "expired", kCritical, CertificateState::expired},
    DiagnosisTerm{Diagnosis::not_yet_valid, "not_yet_valid", kCritical,
                  CertificateState::not_yet_valid},
    DiagnosisTerm{Diagnosis::ca_expired, "ca_expired", kCritical, CertificateState::expired},
    DiagnosisTerm{Diagnosis::revoked, "revoked", kCritical, kUntrusted},
    DiagnosisTerm{Diagnosis::crl_missing, "crl_missing", kCritical, kUntrusted},
    DiagnosisTerm{Diagnosis::weak_key, "weak_key", kCritical, kUntrusted},
    DiagnosisTerm{Diagnosis::wrong_purpose, "wrong_purpose", kCritical, kUntrusted},
    DiagnosisTerm{Diagnosis::untrusted, "untrusted", kCritical, kUntrusted},
    DiagnosisTerm{Diagnosis::name_mismatch, "name_mismatch", kCritical, CertificateState::mismatch},
    DiagnosisTerm{Diagnosis::trust_unreadable, "trust_unreadable", kCritical, kUnseen},
};

constexpr bool in_order() {
  for (std::size_t i = 0; i < kTerms.size(); ++i) {
    if (static_cast<std::size_t>(kTerms[i].diagnosis) != i) return false;
  }
  return true;
}
static_assert(in_order());

const DiagnosisTerm& term(Diagnosis diagnosis) {
  const auto index = static_cast<std::size_t>(diagnosis);
  return kTerms[index < kTerms.size() ? index : 0];
}

}  // namespace

std::string_view word(Negotiation value) {
  return detail::lookup(std::array<std::string_view, 2>{"postgres", "direct"}, value);
}

std::string_view word(ProbeStage value) {
  return detail::lookup(
      std::array<std::string_view, 9>{"none", "resolve", "connect", "negotiate", "handshake",
                                      "chain", "name", "client", "done"},
      value);
}

std::string_view word(Diagnosis value) { return term(value).word; }

std::string_view word(ClientCertificate value) {
  return detail::lookup(std::array<std::string_view, 6>{"unknown", "not_requested", "none", "sent",
                                                        "rejected", "required"},
                        value);
}

std::string_view word(CertificateState value) {
  return detail::lookup(
      std::array<std::string_view, 8>{"unknown", "ok", "expiring", "expired", "not_yet_valid",
                                      "untrusted", "mismatch", "plaintext"},
      value);
}

Status status_of(Diagnosis diagnosis) { return term(diagnosis).status; }

CertificateState certificate_state_of(Diagnosis diagnosis) { return term(diagnosis).certificate; }

bool is_path(Diagnosis diagnosis) {
  switch (diagnosis) {
    case Diagnosis::unresolved:
    case Diagnosis::tcp_refused:
    case Diagnosis::tcp_timeout:
    case Diagnosis::no_answer:
    case Diagnosis::closed:
      return true;
    default:
      return false;
  }
}

}  // namespace pgfed::core
