#include "net_tls_peers.hpp"

#include <gtest/gtest.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509v3.h>
#include <poll.h>
#include <signal.h>
#include <sys/socket.h>

#include <array>
#include <cstdlib>
#include <ctime>

#include "net_peers.hpp"

namespace pgfed::net_test {

namespace {

using Bio = std::unique_ptr<BIO, decltype(&BIO_free)>;

std::string text_of(const Bio& bio) {
  char* bytes = nullptr;
  const long length = BIO_get_mem_data(bio.get(), &bytes);
  return {bytes, static_cast<std::size_t>(length)};
}

void must(bool worked) {
  if (!worked) std::abort();
}

void add_extension(X509* certificate, X509* issuer, int nid, const std::string& value) {
  X509V3_CTX context;
  X509V3_set_ctx(&context, issuer, certificate, nullptr, nullptr, 0);
  X509_EXTENSION* extension = X509V3_EXT_conf_nid(nullptr, &context, nid, value.c_str());
  must(extension != nullptr && X509_add_ext(certificate, extension, -1) == 1);
  X509_EXTENSION_free(extension);
}

void add_alt_names(X509* certificate, const Wanted& wanted) {
  if (!wanted.alt_names.empty()) {
    add_extension(certificate, certificate, NID_subject_alt_name, wanted.alt_names);
  }
  if (wanted.raw_dns_names.empty()) return;
  auto* names = static_cast<GENERAL_NAMES*>(
      X509_get_ext_d2i(certificate, NID_subject_alt_name, nullptr, nullptr));
  if (names == nullptr) names = GENERAL_NAMES_new();
  for (const std::string& raw : wanted.raw_dns_names) {
    ASN1_IA5STRING* text = ASN1_IA5STRING_new();
    must(ASN1_STRING_set(text, raw.data(), static_cast<int>(raw.size())) == 1);
    GENERAL_NAME* name = GENERAL_NAME_new();
    GENERAL_NAME_set0_value(name, GEN_DNS, text);
    sk_GENERAL_NAME_push(names, name);
  }
  must(X509_add1_ext_i2d(certificate, NID_subject_alt_name, names, 0, X509V3_ADD_REPLACE) == 1);
  GENERAL_NAMES_free(names);
}

const EVP_MD* digest_for(EVP_PKEY* key) {
  return EVP_PKEY_get_base_id(key) == EVP_PKEY_ED25519 ? nullptr : EVP_sha256();
}

int choose_postgresql(SSL* /*ssl*/, const unsigned char** out, unsigned char* length,
                      const unsigned char* offered, unsigned size, void* /*unused*/) {
  const std::string_view all(reinterpret_cast<const char*>(offered), size);
  const std::size_t at = all.find("\x0apostgresql");
  if (at == std::string_view::npos) return SSL_TLSEXT_ERR_ALERT_FATAL;
  *out = offered + at + 1;
  *length = 10;
  return SSL_TLSEXT_ERR_OK;
}

std::shared_ptr<SSL_CTX> server_context(const ServerTls& how) {
  signal(SIGPIPE, SIG_IGN);  // SSL_set_fd writes without MSG_NOSIGNAL
  std::shared_ptr<SSL_CTX> context(SSL_CTX_new(TLS_server_method()), &SSL_CTX_free);
  SSL_CTX_set_security_level(context.get(), 0);
  must(SSL_CTX_use_certificate(context.get(), how.credential->x509()) == 1);
  must(SSL_CTX_use_PrivateKey(context.get(), how.credential->key.get()) == 1);
  for (X509* one : how.more) must(SSL_CTX_add1_chain_cert(context.get(), one) == 1);
  SSL_CTX_set_mode(context.get(), SSL_MODE_NO_AUTO_CHAIN);
  if (how.client_authority != nullptr) {
    X509_STORE_add_cert(SSL_CTX_get_cert_store(context.get()), how.client_authority);
    SSL_CTX_set_verify(
        context.get(),
        SSL_VERIFY_PEER | (how.client_required ? SSL_VERIFY_FAIL_IF_NO_PEER_CERT : 0), nullptr);
  }
  if (how.alpn) SSL_CTX_set_alpn_select_cb(context.get(), &choose_postgresql, nullptr);
  SSL_CTX_set_min_proto_version(context.get(), how.min_protocol);
  SSL_CTX_set_max_proto_version(context.get(), how.max_protocol);
  if (how.max_protocol != 0 && how.max_protocol < TLS1_2_VERSION) {
    SSL_CTX_set_cipher_list(context.get(), "ALL:@SECLEVEL=0");
  }
  return context;
}

}  // namespace

// ---- certificates ----------------------------------------------------------------------------

KeyOwner make_key(const std::string& kind) {
  EVP_PKEY* key = nullptr;
  if (kind == "EC") key = EVP_EC_gen("P-256");
  if (kind == "P-384") key = EVP_EC_gen("P-384");
  if (kind == "RSA 1024") key = EVP_RSA_gen(1024);
  if (kind == "RSA 2048") key = EVP_RSA_gen(2048);
  if (kind == "Ed25519") key = EVP_PKEY_Q_keygen(nullptr, nullptr, "ED25519");
  must(key != nullptr);
  return KeyOwner(key);
}

Credential make_credential(const Wanted& wanted) {
  Credential made;
  made.key = make_key(wanted.key);
  made.certificate.reset(X509_new());
  X509* certificate = made.x509();
  X509_set_version(certificate, X509_VERSION_3);
  ASN1_INTEGER_set(X509_get_serialNumber(certificate), wanted.serial);
  X509_gmtime_adj(X509_getm_notBefore(certificate), wanted.begins);
  X509_gmtime_adj(X509_getm_notAfter(certificate), wanted.ends);
  X509_NAME* subject = X509_get_subject_name(certificate);
  if (!wanted.common_name.empty()) {
    must(X509_NAME_add_entry_by_txt(
             subject, "CN", MBSTRING_UTF8,
             reinterpret_cast<const unsigned char*>(wanted.common_name.data()),
             static_cast<int>(wanted.common_name.size()), -1, 0) == 1);
  }
  const Credential& issuer = wanted.issuer == nullptr ? made : *wanted.issuer;
  X509_set_issuer_name(certificate, X509_get_subject_name(issuer.x509()));
  X509_set_pubkey(certificate, made.key.get());
  add_extension(certificate, issuer.x509(), NID_basic_constraints,
                wanted.authority ? "critical,CA:TRUE" : "CA:FALSE");
  if (!wanted.extended_usage.empty()) {
    add_extension(certificate, issuer.x509(), NID_ext_key_usage, wanted.extended_usage);
  }
  add_alt_names(certificate, wanted);
  must(X509_sign(certificate, issuer.key.get(), digest_for(issuer.key.get())) > 0);
  return made;
}

std::string make_crl(const Credential& issuer, const std::vector<long>& serials, long seconds) {
  const std::unique_ptr<X509_CRL, decltype(&X509_CRL_free)> crl(X509_CRL_new(), &X509_CRL_free);
  const std::unique_ptr<ASN1_TIME, decltype(&ASN1_TIME_free)> last(X509_gmtime_adj(nullptr, -7200),
                                                                   &ASN1_TIME_free);
  const std::unique_ptr<ASN1_TIME, decltype(&ASN1_TIME_free)> next(
      X509_gmtime_adj(nullptr, seconds), &ASN1_TIME_free);
  X509_CRL_set_version(crl.get(), X509_CRL_VERSION_2);
  X509_CRL_set_issuer_name(crl.get(), X509_get_subject_name(issuer.x509()));
  X509_CRL_set1_lastUpdate(crl.get(), last.get());
  X509_CRL_set1_nextUpdate(crl.get(), next.get());
  for (const long serial : serials) {
    X509_REVOKED* revoked = X509_REVOKED_new();
    ASN1_INTEGER* number = ASN1_INTEGER_new();
    ASN1_INTEGER_set(number, serial);
    X509_REVOKED_set_serialNumber(revoked, number);
    X509_REVOKED_set_revocationDate(revoked, last.get());
    ASN1_INTEGER_free(number);
    X509_CRL_add0_revoked(crl.get(), revoked);
  }
  must(X509_CRL_sign(crl.get(), issuer.key.get(), EVP_sha256()) > 0);
  const Bio bio(BIO_new(BIO_s_mem()), &BIO_free);
  PEM_write_bio_X509_CRL(bio.get(), crl.get());
  return text_of(bio);
}

std::string pem(X509* certificate) {
  const Bio bio(BIO_new(BIO_s_mem()), &BIO_free);
  PEM_write_bio_X509(bio.get(), certificate);
  return text_of(bio);
}

std::string pem(EVP_PKEY* key) {
  const Bio bio(BIO_new(BIO_s_mem()), &BIO_free);
  PEM_write_bio_PrivateKey(bio.get(), key, nullptr, nullptr, 0, nullptr, nullptr);
  return text_of(bio);
}

std::string der(X509* certificate) {
  const Bio bio(BIO_new(BIO_s_mem()), &BIO_free);
  i2d_X509_bio(bio.get(), certificate);
  return text_of(bio);
}

// ---- servers ---------------------------------------------------------------------------------

std::function<void(int)> tls_server(const ServerTls& how) {
  return [context = server_context(how)](int socket) {
    const std::unique_ptr<SSL, decltype(&SSL_free)> ssl(SSL_new(context.get()), &SSL_free);
    SSL_set_fd(ssl.get(), socket);
    if (SSL_accept(ssl.get()) != 1) return;
    std::array<char, 1024> waste{};
    SSL_read(ssl.get(), waste.data(), waste.size());
  };
}

std::function<void(int)> postgres_server(const ServerTls& how) {
  return [serve = tls_server(how)](int socket) {
    if (take_ssl_request(socket) && send_all(socket, "S")) serve(socket);
  };
}

std::string peek_some(int socket) {
  std::array<char, 4096> bytes{};
  const ssize_t count = recv(socket, bytes.data(), bytes.size(), MSG_PEEK);
  return count <= 0 ? std::string() : std::string(bytes.data(), static_cast<std::size_t>(count));
}

bool take_ssl_request(int socket) {
  std::array<char, 8> bytes{};
  return recv(socket, bytes.data(), bytes.size(), MSG_WAITALL) == 8 && bytes[4] == 0x04;
}

void hold(int socket) {
  while (!receive_some(socket).empty()) {
  }
}

std::string server_name_in(const std::string& client_hello) {
  // Record 5, handshake 4, version 2, random 32; then the lists.
  std::size_t at = 43;
  const auto byte = [&](std::size_t i) {
    return i < client_hello.size() ? static_cast<unsigned char>(client_hello[i]) : 0U;
  };
  const auto pair = [&](std::size_t i) { return byte(i) << 8U | byte(i + 1); };
  at += 1 + byte(at);
  at += 2 + pair(at);
  at += 1 + byte(at);
  const std::size_t end = at + 2 + pair(at);
  for (at += 2; at + 4 <= end && at < client_hello.size(); at += 4 + pair(at + 2)) {
    if (pair(at) == 0) return client_hello.substr(at + 9, pair(at + 7));
  }
  return {};
}

// ---- the loop --------------------------------------------------------------------------------

namespace {

/// That this thread has used of the processor, whatever else the machine does.
core::Duration busy_time() {
  timespec used{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &used);
  return core::seconds(used.tv_sec) + core::microseconds(used.tv_nsec / 1000);
}

}  // namespace

ProbeDrill::ProbeDrill(const net::Keywords& conninfo)
    : prober({.now = &boot_now,
              .reserve_descriptor = [this] { ++descriptors; },
              .release_descriptor = [this] { --descriptors; }}) {
  prober.set_conninfo(conninfo);
}

core::ProbeId ProbeDrill::begin(const std::string& host, std::uint16_t port,
                                const std::string& options, core::Duration limit) {
  core::NodeSpec endpoint;
  endpoint.name = "peer";
  endpoint.host = host;
  endpoint.port = port;
  endpoint.options = options;
  prober.probe(++last_, endpoint, limit);
  return last_;
}

bool ProbeDrill::run_until(std::size_t ended, core::Duration patience) {
  const core::Instant until = boot_now() + patience;
  while (results.size() < ended && boot_now() < until) {
    const core::Duration wait = std::min(prober.next_deadline(), until) - boot_now();
    const auto pause =
        wait.count() <= 0
            ? 0
            : std::chrono::duration_cast<core::milliseconds>(wait + core::microseconds(999))
                  .count();
    pollfd descriptor{.fd = prober.descriptor(), .events = POLLIN, .revents = 0};
    poll(&descriptor, 1, static_cast<int>(pause));
    std::vector<core::Event> events;
    const core::Duration before = busy_time();
    prober.run(events);
    longest_run = std::max(longest_run, busy_time() - before);
    for (core::Event& event : events) {
      auto* probed = std::get_if<core::Probed>(&event);
      if (probed != nullptr) results.emplace(probed->id, std::move(probed->result));
    }
  }
  return results.size() >= ended;
}

core::ProbeResult ProbeDrill::end(core::ProbeId id) {
  const core::Instant until = boot_now() + core::seconds(15);
  while (!results.contains(id) && boot_now() < until) {
    run_until(results.size() + 1, until - boot_now());
  }
  core::ProbeResult result = results[id];
  results.erase(id);
  return result;
}

core::ProbeResult ProbeDrill::probe(const std::string& host, std::uint16_t port,
                                    const std::string& options, core::Duration limit) {
  return end(begin(host, port, options, limit));
}

void expect_result(const core::ProbeResult& result, core::Diagnosis diagnosis,
                   core::ProbeStage stage, const std::string& words) {
  EXPECT_EQ(core::word(result.diagnosis), core::word(diagnosis)) << result.detail;
  EXPECT_EQ(core::word(result.stage), core::word(stage));
  EXPECT_NE(result.detail.find(words), std::string::npos) << result.detail;
}

}  // namespace pgfed::net_test
