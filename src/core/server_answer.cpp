#include "pgfed/core/server_answer.hpp"

#include <algorithm>

namespace pgfed::core {
namespace {

constexpr char kAlertRecord = 0x15;
constexpr char kHandshakeRecord = 0x16;
constexpr std::size_t kErrorHeader = 5;  // 'E' and the length

/// The length counts itself and is below 16 MB; a text does not begin with a NUL.
bool has_length(std::string_view answer) { return answer.size() > 1 && answer[1] == '\0'; }

std::size_t length_of(std::string_view answer) {
  std::size_t length = 0;
  for (std::size_t i = 1; i < kErrorHeader; ++i) {
    length = length << 8U | static_cast<unsigned char>(answer[i]);
  }
  return length;
}

}  // namespace

ServerAnswer classify_answer(std::string_view answer) {
  const bool alone = answer.size() == 1;
  switch (answer.empty() ? '\0' : answer[0]) {
    case 'S':
      if (alone) return ServerAnswer::tls;
      // A secure shell tells its version before it is asked.
      return answer.starts_with("SSH-") ? ServerAnswer::other : ServerAnswer::tls_and_more;
    case 'N':
      return alone ? ServerAnswer::no_tls : ServerAnswer::other;
    case 'E':
      return ServerAnswer::error;
    case kAlertRecord:
      return ServerAnswer::tls_alert;
    default:
      return ServerAnswer::other;
  }
}

bool error_is_complete(std::string_view answer) {
  if (answer.size() >= kMaxServerAnswer) return true;
  if (!has_length(answer)) return answer.find('\0') != std::string_view::npos;
  return answer.size() >= kErrorHeader && answer.size() >= length_of(answer) + 1;
}

std::string error_message_of(std::string_view answer) {
  if (!has_length(answer)) {
    std::string_view text = answer.substr(std::min<std::size_t>(1, answer.size()));
    text = text.substr(0, text.find('\0'));
    while (!text.empty() && (text.back() == '\n' || text.back() == '\r')) text.remove_suffix(1);
    return std::string(text);
  }
  if (answer.size() < kErrorHeader) return {};
  std::string_view fields = answer.substr(kErrorHeader);
  while (fields.size() > 1 && fields[0] != '\0') {
    const std::string_view value = fields.substr(1, fields.find('\0', 1) - 1);
    if (fields[0] == 'M') return std::string(value);
    fields.remove_prefix(std::min(fields.size(), value.size() + 2));
  }
  return {};
}

bool begins_as_tls(std::string_view bytes) {
  if (bytes.empty() || (bytes[0] != kAlertRecord && bytes[0] != kHandshakeRecord)) return false;
  return bytes.size() < 2 || bytes[1] == 3;
}

}  // namespace pgfed::core
