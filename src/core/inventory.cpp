#include "pgfed/core/inventory.hpp"

#include <array>

#include "pgfed/core/digest.hpp"

namespace pgfed::core {

namespace {

void add(Digest& digest, const std::vector<std::string>& texts) {
  digest.add(texts.size());
  for (const std::string& text : texts) digest.add(std::string_view(text));
}

void add(Digest& digest, const Certificate& certificate) {
  digest.add(std::string_view(certificate.subject));
  digest.add(std::string_view(certificate.issuer));
  digest.add(std::string_view(certificate.common_name));
  add(digest, certificate.dns_names);
  add(digest, certificate.ip_addresses);
  digest.add(certificate.names_cut);
  digest.add(certificate.null_in_name);
  digest.add(std::string_view(certificate.serial));
  digest.add(certificate.sha256.bytes);
  digest.add(certificate.not_before);
  digest.add(certificate.not_after);
  digest.add(std::string_view(certificate.key));
  digest.add(certificate.self_issued);
  digest.add(certificate.is_ca);
}

}  // namespace

std::string_view word(CertificateSource value) {
  return detail::lookup(std::array<std::string_view, 5>{"served", "ssl_cert_file", "ssl_ca_file",
                                                        "sslrootcert", "sslcert"},
                        value);
}

std::string_view hint_for(ProblemKind kind) {
  switch (kind) {
    case ProblemKind::unknown:
      return "That node runs a newer pgfed, which knows more: look there.";
    case ProblemKind::file_unreadable:
      return "Put the file in its place, readable for the account that PostgreSQL runs as, or name "
             "the right one in postgresql.conf or pgfed.conninfo.";
    case ProblemKind::key_mismatch:
      return "Put a certificate and a key in place that belong together: openssl x509 -noout "
             "-pubkey -in CERTIFICATE and openssl pkey -pubout -in KEY must print the same.";
    case ProblemKind::key_permissions:
      return "chmod 0600 KEY, owned by the account that PostgreSQL runs as; or owned by root, "
             "chmod 0640 KEY, with a group that this account is in.";
    case ProblemKind::key_passphrase:
      return "Use a key without a passphrase, mode 0600, or set "
             "ssl_passphrase_command_supports_reload = on and run SELECT pg_reload_conf(); "
             "yourself after each renewal.";
    case ProblemKind::chain_incomplete:
      return "Append the missing intermediate certificates to the file, the leaf first: "
             "cat leaf.crt intermediate.crt > server.crt";
    case ProblemKind::not_served:
      return "SELECT pg_reload_conf(); or set pgfed.tls_reload = on.";
    case ProblemKind::reload_blocked:
      return "Look at what was edited, then: SELECT pg_reload_conf();";
    case ProblemKind::reload_would_fail:
      return "Mend the file; until then do not restart the server, which would not come up again.";
    case ProblemKind::name_missing:
      return "Have a certificate made with all the names of SELECT * FROM "
             "pgfed.certificate_names();";
    case ProblemKind::weak_primary_conninfo:
      return "ALTER SYSTEM SET primary_conninfo = '... sslmode=verify-full sslrootcert=...'; "
             "SELECT pg_reload_conf(); The whole string: SELECT * FROM "
             "pgfed.standby_settings('NODE');";
    case ProblemKind::password_in_conninfo:
      return "Use a client certificate (sslcert, sslkey) or a passfile: ALTER SYSTEM SET "
             "primary_conninfo = '...'; SELECT pg_reload_conf(); The whole string: SELECT * FROM "
             "pgfed.standby_settings('NODE');";
    case ProblemKind::stream_without_tls:
      return "On the standby: ALTER SYSTEM SET primary_conninfo = '... sslmode=verify-full'; "
             "SELECT pg_reload_conf(); See pgfed.standby_settings().";
    case ProblemKind::hba_without_tls:
      return "Write hostssl instead of host in that line of pg_hba.conf, or put the line "
             "\"hostnossl all,replication all all reject\" before it; then SELECT pg_reload_conf();";
    case ProblemKind::hba_trust:
      return "Write cert or scram-sha-256 instead of trust in that line of pg_hba.conf; then "
             "SELECT pg_reload_conf();";
    case ProblemKind::old_tls_protocol:
      return "ALTER SYSTEM SET ssl_min_protocol_version = 'TLSv1.2'; SELECT pg_reload_conf();";
    case ProblemKind::tls_off:
      return "Put a certificate and its key in place, then: ALTER SYSTEM SET ssl = on; "
             "SELECT pg_reload_conf();";
    case ProblemKind::hosts_file:
      return "Correct that line of pg_hosts.conf, or the files that it names.";
    case ProblemKind::certificates_cut:
      return "Keep only the authorities that the federation needs in its CA files.";
  }
  return "";
}

std::uint64_t digest_of(const Inventory& inventory) {
  Digest digest;
  digest.add(inventory.certificates.size());
  for (const FileCertificate& file : inventory.certificates) {
    digest.add(static_cast<std::uint8_t>(file.source));
    digest.add(file.depth);
    digest.add(file.path.view());
    add(digest, file.certificate);
    digest.add(file.anchor.bytes);
  }
  digest.add(inventory.problems.size());
  for (const Problem& problem : inventory.problems) {
    digest.add(static_cast<std::uint8_t>(problem.kind));
    digest.add(static_cast<std::uint8_t>(problem.status));
    digest.add(problem.detail.view());
  }
  return digest.value();
}

}  // namespace pgfed::core
