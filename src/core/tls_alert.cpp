#include "pgfed/core/tls_alert.hpp"

#include <algorithm>
#include <array>
#include <string_view>

namespace pgfed::core {
namespace {

struct Alert {
  std::uint8_t number;
  std::string_view name;
};

constexpr std::array kAlerts = {
    Alert{0, "close_notify"},
    Alert{10, "unexpected_message"},
    Alert{20, "bad_record_mac"},
    Alert{22, "record_overflow"},
    Alert{tls_alert::kHandshakeFailure, "handshake_failure"},
    Alert{42, "bad_certificate"},
    Alert{43, "unsupported_certificate"},
    Alert{44, "certificate_revoked"},
    Alert{45, "certificate_expired"},
    Alert{46, "certificate_unknown"},
    Alert{47, "illegal_parameter"},
    Alert{48, "unknown_ca"},
    Alert{49, "access_denied"},
    Alert{50, "decode_error"},
    Alert{51, "decrypt_error"},
    Alert{tls_alert::kProtocolVersion, "protocol_version"},
    Alert{71, "insufficient_security"},
    Alert{80, "internal_error"},
    Alert{86, "inappropriate_fallback"},
    Alert{90, "user_canceled"},
    Alert{109, "missing_extension"},
    Alert{110, "unsupported_extension"},
    Alert{tls_alert::kUnrecognizedName, "unrecognized_name"},
    Alert{113, "bad_certificate_status_response"},
    Alert{115, "unknown_psk_identity"},
    Alert{tls_alert::kCertificateRequired, "certificate_required"},
    Alert{tls_alert::kNoApplicationProtocol, "no_application_protocol"},
};

}  // namespace

std::string alert_text(std::uint8_t alert) {
  const auto known = std::find_if(kAlerts.begin(), kAlerts.end(),
                                  [alert](const Alert& one) { return one.number == alert; });
  return known == kAlerts.end() ? "alert " + std::to_string(alert) : std::string(known->name);
}

bool rejects_certificate(std::uint8_t alert) {
  return (alert >= 42 && alert <= 46) || alert == 48 || alert == 49 || alert == 51;
}

}  // namespace pgfed::core
