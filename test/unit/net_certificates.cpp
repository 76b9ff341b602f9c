#include "unit/net_certificates.hpp"

#include <openssl/bio.h>
#include <openssl/ec.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <stdexcept>

#include "pgfed/net/x509.hpp"

namespace pgfed::net_test {

namespace {

using Bio = std::unique_ptr<BIO, decltype(&BIO_free)>;

template <typename Write>
std::string pem(Write write) {
  const Bio bio(BIO_new(BIO_s_mem()), &BIO_free);
  if (write(bio.get()) != 1) throw std::runtime_error("PEM cannot be written");
  char* bytes = nullptr;
  const long length = BIO_get_mem_data(bio.get(), &bytes);
  return {bytes, static_cast<std::size_t>(length)};
}

void extend(X509* certificate, int kind, const char* value) {
  X509_EXTENSION* extension = X509V3_EXT_conf_nid(nullptr, nullptr, kind, value);
  X509_add_ext(certificate, extension, -1);
  X509_EXTENSION_free(extension);
}

void name_it(X509* certificate, const std::string& name) {
  static long serial = 1000;
  X509_set_version(certificate, 2);
  ASN1_INTEGER_set(X509_get_serialNumber(certificate), ++serial);
  X509_gmtime_adj(X509_getm_notBefore(certificate), -3600);
  X509_gmtime_adj(X509_getm_notAfter(certificate), 86400L * 30);
  X509_NAME_add_entry_by_txt(X509_get_subject_name(certificate), "CN", MBSTRING_UTF8,
                             reinterpret_cast<const unsigned char*>(name.c_str()), -1, -1, 0);
}

}  // namespace

Identity::Identity()
    : certificate_(X509_new(), &X509_free), key_(EVP_EC_gen("P-256"), &EVP_PKEY_free) {
  X509_set_pubkey(certificate_.get(), key_.get());
}

Identity Identity::authority(const std::string& name) {
  Identity made;
  name_it(made.certificate_.get(), name);
  X509_set_issuer_name(made.certificate_.get(), X509_get_subject_name(made.certificate_.get()));
  extend(made.certificate_.get(), NID_basic_constraints, "critical,CA:TRUE");
  X509_sign(made.certificate_.get(), made.key_.get(), EVP_sha256());
  return made;
}

Identity Identity::issue(const std::string& name, bool is_authority) const {
  Identity made;
  name_it(made.certificate_.get(), name);
  X509_set_issuer_name(made.certificate_.get(), X509_get_subject_name(certificate_.get()));
  extend(made.certificate_.get(), NID_basic_constraints,
         is_authority ? "critical,CA:TRUE" : "critical,CA:FALSE");
  X509_sign(made.certificate_.get(), key_.get(), EVP_sha256());
  return made;
}

std::string Identity::certificate() const {
  return pem([this](BIO* bio) { return PEM_write_bio_X509(bio, certificate_.get()); });
}

std::string Identity::key() const {
  return pem([this](BIO* bio) {
    return PEM_write_bio_PrivateKey(bio, key_.get(), nullptr, nullptr, 0, nullptr, nullptr);
  });
}

std::string Identity::sealed_key() const {
  return pem([this](BIO* bio) {
    const unsigned char passphrase[] = "open sesame";
    return PEM_write_bio_PrivateKey(bio, key_.get(), EVP_aes_128_cbc(), passphrase,
                                    sizeof passphrase - 1, nullptr, nullptr);
  });
}

std::string Identity::sha256() const { return net::fingerprint_of(certificate_.get()).hex(); }

Folder::Folder() {
  std::string pattern = std::filesystem::temp_directory_path() / "pgfed_files_XXXXXX";
  if (mkdtemp(pattern.data()) == nullptr) throw std::runtime_error("no temporary folder");
  path_ = pattern;
}

Folder::~Folder() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

std::string Folder::write(const std::string& name, const std::string& text, unsigned mode) const {
  std::string path = file(name);
  std::ofstream(path, std::ios::binary | std::ios::trunc) << text;
  chmod(path.c_str(), mode);
  return path;
}

void Folder::link(const std::string& target, const std::string& name) const {
  const std::string other = file(name) + ".new";
  std::filesystem::create_symlink(target, other);
  std::filesystem::rename(other, file(name));
}

void Folder::make(const std::string& name) const {
  std::filesystem::create_directories(file(name));
}

}  // namespace pgfed::net_test
