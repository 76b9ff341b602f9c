// Reads bytes as a certificate, in DER and in PEM. Built with CMake (see there), or by hand from the
// root of the repository:
//
//   clang++-14 -std=c++20 -O1 -g -fsanitize=fuzzer,address,undefined -Iinclude
//     test/fuzz/x509_fuzz.cpp src/net/x509.cpp src/core/*.cpp -lcrypto -o /tmp/x509_fuzz
//   mkdir -p /tmp/x509_corpus && scripts/make-certs /tmp/x509_certs --ca ca --server a --dns b --ip ::1
//   openssl x509 -in /tmp/x509_certs/server-a.crt -outform DER -out /tmp/x509_corpus/server
//   /tmp/x509_fuzz -max_len=4096 -max_total_time=60 /tmp/x509_corpus
//
// What it takes must keep to the limits, and its names must be printable where they are shown.

#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "pgfed/core/certificate.hpp"
#include "pgfed/net/x509.hpp"

namespace {

using namespace pgfed;

void require(bool condition) {
  if (!condition) std::abort();
}

void look_at(X509* x509) {
  const core::Certificate certificate = net::certificate_of(x509);
  require(certificate.subject.size() <= net::kMaxDistinguishedName);
  require(certificate.issuer.size() <= net::kMaxDistinguishedName);
  require(certificate.dns_names.size() + certificate.ip_addresses.size() <= core::kMaxNames);
  for (const std::string& name : certificate.dns_names) require(name.size() <= net::kMaxDnsName);
  require(certificate.serial.size() <= 200 && certificate.key.size() <= 100);
  for (const char c : core::names_text(certificate)) {
    require(static_cast<unsigned char>(c) >= ' ' && c != '\x7f');
  }
  for (const char* host : {"leo.example", "10.0.0.1", "::1"}) {
    const core::HostMatch match = core::match_host(certificate, host);
    require(match.matches || !match.by_common_name);
  }
  (void)core::judge_validity(certificate, {}, 1700000000);
}

}  // namespace

// NOLINTNEXTLINE(readability-identifier-naming): libFuzzer's name
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const net::X509Owner one = net::certificate_of_der({data, size});
  if (one) look_at(one.get());
  const auto several = net::certificates_of_pem({reinterpret_cast<const char*>(data), size});
  if (several.ok()) {
    require(!several.value().empty());
    for (const net::X509Owner& each : several.value()) look_at(each.get());
  }
  return 0;
}
