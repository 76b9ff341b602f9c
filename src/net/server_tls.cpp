#include "pgfed/net/server_tls.hpp"

#include "pgfed/core/address.hpp"

namespace pgfed::net {

namespace {

constexpr std::string_view kBlanks = " \t\r\n";

std::string_view trimmed(std::string_view text) {
  const std::size_t begin = text.find_first_not_of(kBlanks);
  if (begin == std::string_view::npos) return {};
  text = text.substr(begin, text.find_last_not_of(kBlanks) - begin + 1);
  if (text.size() >= 2 && text.front() == '"' && text.back() == '"') {
    text = text.substr(1, text.size() - 2);
  }
  return text;
}

}  // namespace

std::string_view local_address(std::string_view listen_addresses) {
  while (!listen_addresses.empty()) {
    const std::size_t comma = listen_addresses.find(',');
    const std::string_view one = trimmed(listen_addresses.substr(0, comma));
    listen_addresses =
        comma == std::string_view::npos ? std::string_view{} : listen_addresses.substr(comma + 1);
    if (one == "*" || one == "0.0.0.0" || one == "localhost") return "127.0.0.1";
    if (one == "::") return "::1";
    if (core::is_ipv4(one) || core::is_ipv6(one)) return one;
  }
  return {};
}

}  // namespace pgfed::net
