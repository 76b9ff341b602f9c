#include "pgfed/net/tls_trust.hpp"

#include <libpq-fe.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509_vfy.h>
#include <pwd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <utility>

#include "pgfed/net/file_stamp.hpp"

namespace pgfed::net {

namespace {

/// Certificates that a server sends along are looked at up to here, which bounds the work that it
/// can make. (kMaxChain are kept of them.)
constexpr int kMaxServed = 32;
constexpr int kSystemSince = 160000;
constexpr const char* kRootFile = "root.crt";
constexpr const char* kCrlFile = "root.crl";
constexpr const char* kCertificateFile = "postgresql.crt";
constexpr const char* kKeyFile = "postgresql.key";

using StoreContext = std::unique_ptr<X509_STORE_CTX, decltype(&X509_STORE_CTX_free)>;

/// Where libpq looks for files that are not named; empty where there is no home.
std::string home_folder() {
  std::string home;
  if (const char* named = std::getenv("HOME"); named != nullptr) home = named;
  if (home.empty()) {
    passwd entry{};
    passwd* found = nullptr;
    std::array<char, 4096> buffer{};
    if (getpwuid_r(geteuid(), &entry, buffer.data(), buffer.size(), &found) == 0 &&
        found != nullptr) {
      home = entry.pw_dir;
    }
  }
  return home.empty() ? home : home + "/.postgresql/";
}

bool exists(const std::string& path) {
  struct stat about {};
  return !path.empty() && stat(path.c_str(), &about) == 0;
}

int protocol_number(std::string_view name) {
  if (name == "TLSv1") return TLS1_VERSION;
  if (name == "TLSv1.1") return TLS1_1_VERSION;
  if (name == "TLSv1.3") return TLS1_3_VERSION;
  return TLS1_2_VERSION;
}

/// A key with a passphrase is of no use: nobody is there to type it.
int no_passphrase(char* /*buffer*/, int /*size*/, int /*writing*/, void* /*unused*/) { return 0; }

/// What a certificate is worth is asked afterwards.
int accept_everything(X509_STORE_CTX* context, void* /*unused*/) {
  X509_STORE_CTX_set_error(context, X509_V_OK);
  return 1;
}

core::ChainError error_of(int code) {
  using core::ChainError;
  switch (code) {
    case X509_V_OK:
      return ChainError::none;
    case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
      return ChainError::self_signed;
    case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
      return ChainError::untrusted_root;
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
      return ChainError::unknown_issuer;
    case X509_V_ERR_CERT_HAS_EXPIRED:
      return ChainError::expired;
    case X509_V_ERR_CERT_NOT_YET_VALID:
      return ChainError::not_yet_valid;
    case X509_V_ERR_CERT_REVOKED:
      return ChainError::revoked;
    case X509_V_ERR_UNABLE_TO_GET_CRL:
    case X509_V_ERR_UNABLE_TO_GET_CRL_ISSUER:
    case X509_V_ERR_UNABLE_TO_DECRYPT_CRL_SIGNATURE:
    case X509_V_ERR_CRL_SIGNATURE_FAILURE:
    case X509_V_ERR_CRL_NOT_YET_VALID:
    case X509_V_ERR_CRL_HAS_EXPIRED:
    case X509_V_ERR_ERROR_IN_CRL_LAST_UPDATE_FIELD:
    case X509_V_ERR_ERROR_IN_CRL_NEXT_UPDATE_FIELD:
    case X509_V_ERR_KEYUSAGE_NO_CRL_SIGN:
    case X509_V_ERR_UNHANDLED_CRITICAL_CRL_EXTENSION:
    case X509_V_ERR_DIFFERENT_CRL_SCOPE:
    case X509_V_ERR_CRL_PATH_VALIDATION_ERROR:
      return ChainError::crl_missing;
    case X509_V_ERR_EE_KEY_TOO_SMALL:
    case X509_V_ERR_CA_KEY_TOO_SMALL:
      return ChainError::weak_key;
    case X509_V_ERR_CA_MD_TOO_WEAK:
      return ChainError::weak_digest;
    case X509_V_ERR_INVALID_PURPOSE:
    case X509_V_ERR_INVALID_CA:
      return ChainError::wrong_purpose;
    default:
      return ChainError::other;
  }
}

}  // namespace

TlsFileNames tls_file_names(const Keywords& conninfo) {
  const std::string home = home_folder();
  const auto named = [&](const char* keyword) { return std::string(value_of(conninfo, keyword)); };
  const auto or_default = [&](const std::string& given, const char* file) {
    return !given.empty() || home.empty() ? given : home + file;
  };
  TlsFileNames files;
  files.root = named("sslrootcert");
  files.system = files.root == "system";
  files.root = files.system ? std::string() : or_default(files.root, kRootFile);
  files.crl = named("sslcrl");
  files.crl_folder = named("sslcrldir");
  files.crl_named = !files.crl.empty() || !files.crl_folder.empty();
  if (!files.crl_named) files.crl = or_default({}, kCrlFile);
  if (named("sslcertmode") == "disable") return files;
  files.certificate = named("sslcert");
  files.certificate_named = !files.certificate.empty();
  files.certificate = or_default(files.certificate, kCertificateFile);
  files.key = or_default(named("sslkey"), kKeyFile);
  return files;
}

// ---- reading ---------------------------------------------------------------------------------

TlsSetup::TlsSetup(const Keywords& conninfo) {
  ERR_clear_error();
  context_.reset(SSL_CTX_new(TLS_client_method()));
  if (!context_) {
    trust_problem_ = "out of memory";
    return;
  }
  SSL_CTX* context = context_.get();
  SSL_CTX_set_default_passwd_cb(context, &no_passphrase);
  security_level_ = SSL_CTX_get_security_level(context);
  const TlsFileNames files = tls_file_names(conninfo);
  load_trust(files);
  load_own(files);  // in the strength that libpq demands

  set_protocols(conninfo);
  SSL_CTX_set_security_level(context, 0);
  SSL_CTX_set_cert_verify_callback(context, &accept_everything, nullptr);
  SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_options(context, SSL_OP_NO_TICKET | SSL_OP_NO_RENEGOTIATION);
  SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  ERR_clear_error();
}

void TlsSetup::set_protocols(const Keywords& conninfo) {
  const auto is_min = [](const auto& pair) { return pair.first == "ssl_min_protocol_version"; };
  const bool given = std::any_of(conninfo.begin(), conninfo.end(), is_min);
  const std::string_view least = value_of(conninfo, "ssl_min_protocol_version");
  const std::string_view most = value_of(conninfo, "ssl_max_protocol_version");
  min_protocol_ = given ? (least.empty() ? "TLSv1" : std::string(least)) : "TLSv1.2";
  SSL_CTX_set_min_proto_version(context_.get(), protocol_number(min_protocol_));
  SSL_CTX_set_max_proto_version(context_.get(), most.empty() ? 0 : protocol_number(most));
}

void TlsSetup::load_trust(const TlsFileNames& files) {
  if (files.system) {
    if (PQlibVersion() < kSystemSince) {
      trust_problem_ =
          "sslrootcert=system needs libpq 16, this is " + std::to_string(PQlibVersion() / 10000);
    } else if (SSL_CTX_set_default_verify_paths(context_.get()) != 1) {
      trust_problem_ = "cannot load the system's certificates: " + take_openssl_error();
    }
  } else if (files.root.empty()) {
    trust_problem_ = "sslrootcert is not set, and there is no home directory with a root.crt";
  } else if (!exists(files.root)) {
    trust_problem_ = "cannot load sslrootcert " + files.root + ": " + std::strerror(errno);
  } else if (SSL_CTX_load_verify_locations(context_.get(), files.root.c_str(), nullptr) != 1) {
    trust_problem_ = "cannot load sslrootcert " + files.root + ": " + take_openssl_error();
  }
  if (trust_problem_.empty()) load_revocations(files);
}

/// libpq passes over a CRL that it cannot load, so that nothing is checked; whoever named one will
/// want to know.
void TlsSetup::load_revocations(const TlsFileNames& files) {
  const char* file = files.crl.empty() ? nullptr : files.crl.c_str();
  const char* folder = files.crl_folder.empty() ? nullptr : files.crl_folder.c_str();
  if (file == nullptr && folder == nullptr) return;
  if (file != nullptr && !exists(files.crl)) {
    if (files.crl_named) {
      trust_problem_ = "cannot load sslcrl " + files.crl + ": " + std::strerror(errno);
    }
    return;
  }
  X509_STORE* store = SSL_CTX_get_cert_store(context_.get());
  if (X509_STORE_load_locations(store, file, folder) == 1) {
    X509_STORE_set_flags(store, X509_V_FLAG_CRL_CHECK | X509_V_FLAG_CRL_CHECK_ALL);
  } else if (files.crl_named) {
    trust_problem_ = "cannot load sslcrl " + (file == nullptr ? files.crl_folder : files.crl) +
                     ": " + take_openssl_error();
  }
  ERR_clear_error();
}

void TlsSetup::load_own(const TlsFileNames& files) {
  if (!exists(files.certificate)) {
    const bool absent = errno == ENOENT || errno == ENOTDIR;
    // libpq goes on without it, also where it was named.
    if (!files.certificate.empty() && !absent) {
      own_problem_ = "cannot load sslcert " + files.certificate + ": " + std::strerror(errno);
    }
    return;
  }
  SSL_CTX* context = context_.get();
  if (SSL_CTX_use_certificate_chain_file(context, files.certificate.c_str()) != 1) {
    own_problem_ = "cannot load sslcert " + files.certificate + ": " + take_openssl_error();
    return;
  }
  core::Result<std::vector<X509Owner>> known = load_certificates(files.certificate);
  if (known) known_ = std::move(known.value());
  const char* key = files.key.c_str();
  if (!exists(files.key)) {
    own_problem_ = "cannot load sslkey " + files.key + ": " + std::strerror(errno);
  } else if (SSL_CTX_use_PrivateKey_file(context, key, SSL_FILETYPE_PEM) != 1 &&
             SSL_CTX_use_PrivateKey_file(context, key, SSL_FILETYPE_ASN1) != 1) {
    own_problem_ = "cannot load sslkey " + files.key + ": " + take_openssl_error();
  } else if (SSL_CTX_check_private_key(context) != 1) {
    own_problem_ = "sslkey " + files.key + " does not belong to sslcert " + files.certificate;
  }
  ERR_clear_error();
}

// ---- verifying -------------------------------------------------------------------------------

core::ChainVerdict TlsSetup::verify_with(X509* leaf, STACK_OF(X509) * untrusted) const {
  core::ChainVerdict verdict;
  const StoreContext context(X509_STORE_CTX_new(), &X509_STORE_CTX_free);
  X509_STORE* store = SSL_CTX_get_cert_store(context_.get());
  if (!context || X509_STORE_CTX_init(context.get(), store, leaf, untrusted) != 1) return verdict;
  X509_STORE_CTX_set_default(context.get(), "ssl_server");
  X509_VERIFY_PARAM_set_auth_level(X509_STORE_CTX_get0_param(context.get()), security_level_);
  X509_STORE_CTX_set_depth(context.get(), kMaxServed);

  verdict.checked = true;
  if (X509_verify_cert(context.get()) == 1) {
    const STACK_OF(X509)* chain = X509_STORE_CTX_get0_chain(context.get());
    if (sk_X509_num(chain) > 0) {
      verdict.anchor = fingerprint_of(sk_X509_value(chain, sk_X509_num(chain) - 1));
    }
    return verdict;
  }
  const int code = X509_STORE_CTX_get_error(context.get());
  const int depth = X509_STORE_CTX_get_error_depth(context.get());
  X509* culprit = X509_STORE_CTX_get_current_cert(context.get());
  verdict.error = code == X509_V_OK ? core::ChainError::other : error_of(code);
  verdict.depth = depth < 0 ? 0 : static_cast<std::size_t>(depth);
  verdict.culprit = certificate_of(culprit == nullptr ? leaf : culprit);
  verdict.reason = X509_verify_cert_error_string(code);
  return verdict;
}

core::ChainVerdict TlsSetup::verify(const STACK_OF(X509) * chain) const {
  core::ChainVerdict verdict;
  verdict.trust_problem = trust_problem_;
  const int count = chain == nullptr ? 0 : sk_X509_num(chain);
  if (!trust_problem_.empty() || count == 0) return verdict;

  const std::unique_ptr<STACK_OF(X509), void (*)(STACK_OF(X509)*)> untrusted(
      sk_X509_new_null(), [](STACK_OF(X509) * stack) { sk_X509_free(stack); });
  if (!untrusted) return verdict;
  for (int i = 0; i < std::min(count, kMaxServed); ++i) {
    sk_X509_push(untrusted.get(), sk_X509_value(chain, i));
  }
  X509* leaf = sk_X509_value(chain, 0);
  verdict = verify_with(leaf, untrusted.get());
  if (verdict.error == core::ChainError::unknown_issuer && !known_.empty()) {
    // With what came beside our own certificate it may be complete.
    for (const X509Owner& one : known_) sk_X509_push(untrusted.get(), one.get());
    const core::ChainVerdict completed = verify_with(leaf, untrusted.get());
    if (completed.checked && completed.error == core::ChainError::none) {
      verdict.error = core::ChainError::missing_intermediate;
    }
  }
  ERR_clear_error();
  return verdict;
}

// ---- keeping ---------------------------------------------------------------------------------

bool TlsTrust::Stamp::operator==(const Stamp& other) const {
  return device == other.device && inode == other.inode && size == other.size &&
         changed.tv_sec == other.changed.tv_sec && changed.tv_nsec == other.changed.tv_nsec;
}

TlsTrust::Stamps TlsTrust::stamps_of(const TlsFileNames& files) {
  const auto stamp = [](const std::string& path) {
    struct stat about {};
    if (path.empty() || stat(path.c_str(), &about) != 0) return Stamp{};
    return Stamp{about.st_dev, about.st_ino, about.st_size, about.st_ctim};
  };
  // The files in a folder count, and where the system's authorities are trusted, their bundle.
  Stamp folder{};
  if (!files.crl_folder.empty()) folder.inode = stamp_of_directory(files.crl_folder).value;
  const std::string root = files.root.empty() ? X509_get_default_cert_file() : files.root;
  return {stamp(root), stamp(files.crl), folder, stamp(files.certificate), stamp(files.key)};
}

void TlsTrust::set_conninfo(const Keywords& conninfo) {
  if (conninfo == conninfo_) return;
  conninfo_ = conninfo;
  setup_.reset();
}

std::shared_ptr<const TlsSetup> TlsTrust::current() {
  // Looked at before they are read: what changes meanwhile is read again the next time.
  const Stamps stamps = stamps_of(tls_file_names(conninfo_));
  if (setup_ && stamps == stamps_) return setup_;
  setup_ = std::make_shared<const TlsSetup>(conninfo_);
  stamps_ = stamps;
  return setup_;
}

}  // namespace pgfed::net
