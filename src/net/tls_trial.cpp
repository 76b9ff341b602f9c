#include "pgfed/net/tls_trial.hpp"

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <climits>
#include <memory>
#include <utility>

#include "pgfed/core/text.hpp"

namespace pgfed::net {

namespace {

using core::ProblemKind;

struct BioFree {
  void operator()(BIO* bio) const noexcept { BIO_free(bio); }
};
struct ContextFree {
  void operator()(SSL_CTX* context) const noexcept { SSL_CTX_free(context); }
};
struct KeyFree {
  void operator()(EVP_PKEY* key) const noexcept { EVP_PKEY_free(key); }
};
struct InfoFree {
  void operator()(STACK_OF(X509_INFO) * info) const noexcept {
    sk_X509_INFO_pop_free(info, X509_INFO_free);
  }
};
using Bio = std::unique_ptr<BIO, BioFree>;
using Context = std::unique_ptr<SSL_CTX, ContextFree>;
using Key = std::unique_ptr<EVP_PKEY, KeyFree>;
using Info = std::unique_ptr<STACK_OF(X509_INFO), InfoFree>;

Bio reader_of(const FileContent& file) {
  return Bio(BIO_new_mem_buf(file.bytes.data(), static_cast<int>(file.bytes.size())));
}

/// Notes that a passphrase was asked for, and has none.
int passphrase_asked(char* /*buffer*/, int /*size*/, int /*writing*/, void* asked) {
  if (asked != nullptr) *static_cast<bool*>(asked) = true;
  return -1;
}

Trial refused(ProblemKind kind, std::string why) {
  return {.end = TrialEnd::refused, .kind = kind, .why = std::move(why)};
}

Trial unreadable(const FileContent& file) {
  return refused(ProblemKind::file_unreadable,
                 shown_path(file.path) + " cannot be read: " + file.error);
}

/// With OpenSSL's own reason, and its queue empty afterwards.
Trial not_loaded(const FileContent& file) {
  const std::string reason = take_openssl_error();
  return refused(ProblemKind::reload_would_fail,
                 shown_path(file.path) +
                     " cannot be loaded: " + (reason.empty() ? "nothing usable in it" : reason));
}

bool good(const Trial& trial) { return trial.end == TrialEnd::loads; }

/// As SSL_CTX_use_certificate_chain_file() does it: the first is the server's own, the others are
/// sent along.
Trial load_chain(SSL_CTX* context, const FileContent& file) {
  if (!file.error.empty()) return unreadable(file);
  ERR_clear_error();
  const Bio reader = reader_of(file);
  const X509Owner leaf(PEM_read_bio_X509_AUX(reader.get(), nullptr, passphrase_asked, nullptr));
  if (!leaf || SSL_CTX_use_certificate(context, leaf.get()) != 1 || ERR_peek_error() != 0) {
    return not_loaded(file);
  }
  while (X509* next = PEM_read_bio_X509(reader.get(), nullptr, passphrase_asked, nullptr)) {
    if (SSL_CTX_add0_chain_cert(context, next) != 1) {
      X509_free(next);
      return not_loaded(file);
    }
  }
  const unsigned long error = ERR_peek_last_error();
  if (ERR_GET_LIB(error) != ERR_LIB_PEM || ERR_GET_REASON(error) != PEM_R_NO_START_LINE) {
    return not_loaded(file);
  }
  ERR_clear_error();
  return {};
}

/// PostgreSQL's rule for its key. libpq has the same, but that it takes whatever it can read as the
/// owner's.
Trial check_permissions(const FileContent& key, bool owner_matters) {
  struct stat about {};
  // Whether it is there at all, the reader has said.
  if (stat(key.path.c_str(), &about) != 0) return {};
  if (!S_ISREG(about.st_mode)) {
    return refused(ProblemKind::key_permissions, shown_path(key.path) + " is not a regular file");
  }
  if (owner_matters && about.st_uid != geteuid() && about.st_uid != 0) {
    return refused(ProblemKind::key_permissions,
                   "key " + shown_path(key.path) + " belongs neither to the server's account nor " +
                       "to root: PostgreSQL refuses it");
  }
  const mode_t forbidden = about.st_uid == 0 ? S_IWGRP | S_IXGRP | S_IRWXO : S_IRWXG | S_IRWXO;
  if ((about.st_mode & forbidden) != 0) {
    constexpr unsigned kPermissions = 0777;
    std::string mode = "0";
    for (int shift = 6; shift >= 0; shift -= 3) {
      mode += static_cast<char>('0' + (((about.st_mode & kPermissions) >> shift) & 7U));
    }
    return refused(ProblemKind::key_permissions, "key " + shown_path(key.path) + " has mode " +
                                                     mode + ": others have access to it, and " +
                                                     "it is refused");
  }
  return {};
}

Trial load_key(SSL_CTX* context, const FileContent& certificate, const FileContent& file) {
  if (!file.error.empty()) return unreadable(file);
  ERR_clear_error();
  bool asked = false;
  const Bio reader = reader_of(file);
  const Key key(PEM_read_bio_PrivateKey(reader.get(), nullptr, passphrase_asked, &asked));
  if (!key && asked) {
    ERR_clear_error();
    return {.end = TrialEnd::sealed,
            .kind = ProblemKind::key_passphrase,
            .why = "key " + shown_path(file.path) + " has a passphrase"};
  }
  if (!key) return not_loaded(file);
  if (X509_check_private_key(SSL_CTX_get0_certificate(context), key.get()) != 1) {
    ERR_clear_error();
    return refused(ProblemKind::key_mismatch, "key " + shown_path(file.path) +
                                                  " does not belong to the certificate " +
                                                  shown_path(certificate.path));
  }
  if (SSL_CTX_use_PrivateKey(context, key.get()) != 1 || SSL_CTX_check_private_key(context) != 1) {
    return not_loaded(file);
  }
  return {};
}

/// As X509_load_cert_crl_file() reads them: every block must be sound, and one of them must be a
/// certificate or a list. Of a CA file, one must be a certificate.
Trial load_store(const FileContent& file, bool needs_certificate) {
  if (!file.configured()) return {};
  if (!file.error.empty()) return unreadable(file);
  ERR_clear_error();
  const Bio reader = reader_of(file);
  const Info info(PEM_X509_INFO_read_bio(reader.get(), nullptr, passphrase_asked, nullptr));
  if (!info) return not_loaded(file);
  bool found = false;
  for (int i = 0; i < sk_X509_INFO_num(info.get()); ++i) {
    const X509_INFO* one = sk_X509_INFO_value(info.get(), i);
    found = found || one->x509 != nullptr || (!needs_certificate && one->crl != nullptr);
  }
  ERR_clear_error();
  if (found) return {};
  return refused(ProblemKind::reload_would_fail,
                 shown_path(file.path) + " cannot be loaded: no " +
                     (needs_certificate ? "certificate" : "revocation list") + " in it");
}

Trial try_pair(SSL_CTX* context, const FileContent& certificate, const FileContent& key,
               bool is_server) {
  Trial trial = load_chain(context, certificate);
  if (good(trial)) trial = check_permissions(key, is_server);
  if (good(trial)) trial = load_key(context, certificate, key);
  return trial;
}

}  // namespace

FileContent read_content(const std::string& path) {
  FileContent content;
  content.path = path;
  if (path.empty()) return content;
  core::Result<std::string> bytes = read_file(path);
  if (bytes) {
    content.bytes = std::move(bytes.value());
  } else {
    content.error = bytes.error().message;
  }
  return content;
}

void wipe(FileContent& content) {
  OPENSSL_cleanse(content.bytes.data(), content.bytes.size());
  content.bytes.clear();
}

std::string shown_path(const std::string& path) {
  constexpr std::size_t kLongest = 80;
  constexpr std::string_view kCut = "...";
  core::Text<kLongest + 1> text(path);
  if (path.size() > kLongest) {
    std::string cut(kCut);
    cut.append(path, path.size() - kLongest + kCut.size());
    text = cut;
  }
  return '"' + text.str() + '"';
}

Trial try_server_files(const ServerFileSet& files) {
  ERR_clear_error();
  const Context context(SSL_CTX_new(TLS_method()));
  if (!context) return not_loaded(files.certificate);
  Trial trial = try_pair(context.get(), files.certificate, files.key, true);
  // What a passphrase hides does not hide what is wrong with the others.
  if (trial.end == TrialEnd::refused) return trial;
  Trial others = load_store(files.ca, true);
  if (good(others)) others = load_store(files.crl, false);
  return good(others) ? trial : others;
}

Trial try_client_files(const FileContent& certificate, const FileContent& key) {
  ERR_clear_error();
  const Context context(SSL_CTX_new(TLS_method()));
  if (!context) return not_loaded(certificate);
  Trial trial = try_pair(context.get(), certificate, key, false);
  ERR_clear_error();
  return trial;
}

}  // namespace pgfed::net
