#pragma once

#include <openssl/evp.h>
#include <openssl/x509.h>

#include <memory>
#include <string>

/// Certificates made on the spot, and a folder to put them in.
namespace pgfed::net_test {

/// A certificate with its key (EC P-256).
class Identity {
 public:
  /// Signs itself.
  static Identity authority(const std::string& name);
  /// Signed by this one; an authority itself, or not.
  [[nodiscard]] Identity issue(const std::string& name, bool is_authority = false) const;

  [[nodiscard]] std::string certificate() const;  ///< PEM
  [[nodiscard]] std::string key() const;          ///< PEM
  [[nodiscard]] std::string sealed_key() const;   ///< PEM, under a passphrase
  [[nodiscard]] std::string sha256() const;       ///< as core::Fingerprint::hex()

 private:
  Identity();
  std::shared_ptr<X509> certificate_;
  std::shared_ptr<EVP_PKEY> key_;
};

/// A temporary folder, gone with its content at the end.
class Folder {
 public:
  Folder();
  ~Folder();
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;

  [[nodiscard]] const std::string& path() const { return path_; }
  [[nodiscard]] std::string file(const std::string& name) const { return path_ + "/" + name; }
  /// Writes it, with this mode; returns its path.
  std::string write(const std::string& name, const std::string& text, unsigned mode = 0600) const;
  /// Puts a symbolic link in place of whatever is there, in one step.
  void link(const std::string& target, const std::string& name) const;
  void make(const std::string& name) const;

 private:
  std::string path_;
};

}  // namespace pgfed::net_test
