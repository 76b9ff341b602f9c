#include "pgfed/net/file_survey.hpp"

#include <algorithm>
#include <span>
#include <string_view>
#include <utility>

#include "pgfed/core/digest.hpp"
#include "pgfed/net/anchors.hpp"
#include "pgfed/net/client_files.hpp"
#include "pgfed/net/file_stamp.hpp"
#include "pgfed/net/hosts_file.hpp"
#include "pgfed/net/standby_conninfo.hpp"
#include "pgfed/net/tls_trial.hpp"
#include "pgfed/net/x509.hpp"

namespace pgfed::net {

namespace {

using core::CertificateSource;
using core::ProblemKind;
using core::Status;

constexpr std::size_t kMaxHosts = 32;
constexpr const char* kKeepsOld = "; a reload would keep the old files";

/// The certificates of one file, in order.
struct Chain {
  CertificateSource source = CertificateSource::ssl_cert_file;
  std::string path;
  std::vector<X509Owner> certificates;

  [[nodiscard]] bool is_authority() const {
    return source == CertificateSource::ssl_ca_file || source == CertificateSource::sslrootcert;
  }
};

void add(core::Digest& digest, const FileContent& file) {
  digest.add(std::string_view(file.path));
  digest.add(std::string_view(file.bytes));
  digest.add(std::string_view(file.error));
}

class Surveyor {
 public:
  Surveyor(const ServerTls& server, const Keywords& conninfo)
      : server_(server), conninfo_(conninfo), directory_(server.data_directory) {}

  FileSurvey run() {
    if (server_.ssl) {
      look_at_server();
    } else {
      tell(ProblemKind::tls_off, Status::warning, "ssl = off: this server speaks plain text only");
    }
    look_at_clients();
    judge_chains();
    list_certificates();
    for (const core::Problem& problem :
         judge_primary_conninfo(std::string(server_.primary_conninfo))) {
      tell(problem);
    }
    for (const core::Problem& problem : judge_live_conninfo(std::string(server_.live_conninfo))) {
      tell(problem);
    }
    return std::move(survey_);
  }

 private:
  core::ServerFiles& files() { return survey_.read.server; }

  void tell(const core::Problem& problem) {
    std::vector<core::Problem>& problems = survey_.read.inventory.problems;
    if (problems.size() >= core::kMaxProblems) return;
    if (std::find(problems.begin(), problems.end(), problem) != problems.end()) return;
    problems.push_back(problem);
  }
  void tell(ProblemKind kind, Status status, const std::string& detail) {
    tell({.kind = kind, .status = status, .detail = core::DetailText(detail)});
  }

  /// Notes the stamp of the file as it was before it was read.
  std::int64_t watch(const std::string& path, bool directory = false) {
    const FileStamp stamp = directory ? stamp_of_directory(path) : stamp_of(path);
    survey_.watched.push_back({.path = path, .directory = directory, .stamp = stamp.value});
    return stamp.newest;
  }
  FileContent take(const std::string& path) {
    if (!path.empty()) watch(path);
    return read_content(path);
  }
  /// One that a reload loads.
  FileContent take_server(std::string_view given) {
    const std::string path = absolute_path(given, directory_);
    if (!path.empty()) survey_.newest = std::max(survey_.newest, watch(path));
    return read_content(path);
  }

  void keep_chain(CertificateSource source, const FileContent& file) {
    if (!file.configured() || !file.error.empty()) return;
    auto parsed = certificates_of_pem(file.bytes);
    if (!parsed) return;
    chains_.push_back({source, file.path, std::move(parsed.value())});
  }

  void look_at_server();
  void look_at_hosts(core::Digest& digest, const FileContent& crl);
  void look_at_clients();
  void look_at_client(const ClientFiles& client, const char* owner);
  void judge_chains();
  void list_certificates();

  const ServerTls& server_;
  const Keywords& conninfo_;
  std::string directory_;
  FileSurvey survey_;
  std::vector<Chain> chains_;  ///< in the order in which they are told
  bool system_roots_ = false;
  bool has_hosts_ = false;  ///< pg_hosts.conf (19) has lines
  Anchors roots_;           ///< of all CA files
  Anchors authorities_;     ///< likewise, with the intermediate certificates in them
};

void Surveyor::look_at_server() {
  ServerFileSet set;
  set.certificate = take_server(server_.ssl_cert_file);
  set.key = take_server(server_.ssl_key_file);
  set.ca = take_server(server_.ssl_ca_file);
  set.crl = take_server(server_.ssl_crl_file);
  core::Digest digest;
  for (const FileContent* file : {&set.certificate, &set.key, &set.ca, &set.crl}) {
    add(digest, *file);
  }
  if (!server_.ssl_crl_dir.empty()) {
    const std::string folder = absolute_path(server_.ssl_crl_dir, directory_);
    survey_.newest = std::max(survey_.newest, watch(folder, true));
    digest.add(survey_.watched.back().stamp);
  }

  const Trial trial = try_server_files(set);
  wipe(set.key);
  files().ssl = true;
  files().loadable = trial.end == TrialEnd::loads;
  files().sealed = trial.end == TrialEnd::sealed;
  if (!files().loadable) files().why_not = trial.why;
  if (trial.end == TrialEnd::refused) {
    tell(trial.kind, Status::critical, trial.why + kKeepsOld);
  } else if (trial.end == TrialEnd::sealed) {
    tell(trial.kind, Status::unknown,
         trial.why + (server_.passphrase_reload ? ": whether it fits cannot be told"
                                                : ": a reload would keep the old files"));
  }
  look_at_hosts(digest, set.crl);
  files().digest = digest.value();
  files().other_edit = server_.other_edit;
  files().listen_host = local_address(server_.listen_addresses);
  files().listen_port = server_.port;

  keep_chain(CertificateSource::ssl_cert_file, set.certificate);
  // Where pg_hosts.conf decides what is served, the file named by ssl_cert_file need not be.
  if (!chains_.empty() && !has_hosts_)
    files().leaf = fingerprint_of(chains_.front().certificates.front().get());
  keep_chain(CertificateSource::ssl_ca_file, set.ca);

  const std::string_view least = server_.ssl_min_protocol_version;
  if (least.empty() || least == "TLSv1" || least == "TLSv1.1") {
    tell(ProblemKind::old_tls_protocol, Status::warning,
         "ssl_min_protocol_version is " + (least.empty() ? "empty" : std::string(least)) +
             ": clients may use a protocol that is broken");
  }
}

/// PostgreSQL loads all or nothing: one bad line of pg_hosts.conf keeps the others from being loaded.
void Surveyor::look_at_hosts(core::Digest& digest, const FileContent& crl) {
  const FileContent file = take_server(server_.hosts_file);
  if (!file.configured() || !file.error.empty()) return;  // a missing one is an empty one
  add(digest, file);
  std::vector<HostsLine> lines = parse_hosts_file(file.bytes);
  has_hosts_ = !lines.empty();
  if (lines.size() > kMaxHosts) {
    tell(ProblemKind::hosts_file, Status::warning,
         "pg_hosts.conf has more than " + std::to_string(kMaxHosts) +
             " lines: the rest is not looked at");
    lines.resize(kMaxHosts);
  }
  for (const HostsLine& line : lines) {
    ServerFileSet set;
    set.certificate = take_server(line.certificate);
    set.key = take_server(line.key);
    set.ca = take_server(line.ca);
    set.crl = crl;
    for (const FileContent* one : {&set.certificate, &set.key, &set.ca}) add(digest, *one);
    const Trial trial = try_server_files(set);
    wipe(set.key);
    if (trial.end != TrialEnd::refused) continue;
    const std::string why = "line " + std::to_string(line.number) + " of pg_hosts.conf (" +
                            core::in_quotes(line.hosts.substr(0, 40)) + "): " + trial.why;
    tell(ProblemKind::hosts_file, Status::critical, why);
    files().loadable = false;
    if (files().why_not.empty()) files().why_not = why;
  }
}

void Surveyor::look_at_clients() {
  const ClientFiles own = client_files(conninfo_, directory_);
  system_roots_ = own.system_roots;
  look_at_client(own, "pgfed.conninfo");

  const core::Result<Keywords> parsed = parse_conninfo(std::string(server_.primary_conninfo));
  if (!parsed || parsed.value().empty()) return;
  ClientFiles upstream = client_files(parsed.value(), directory_);
  if (upstream.sslrootcert == own.sslrootcert) upstream.sslrootcert.clear();
  if (upstream.sslcert == own.sslcert && upstream.sslkey == own.sslkey) upstream.sslcert.clear();
  look_at_client(upstream, "primary_conninfo");
}

void Surveyor::look_at_client(const ClientFiles& client, const char* owner) {
  const std::string of = std::string(" of ") + owner + ": ";
  if (!client.sslcert.empty()) {
    const FileContent certificate = take(client.sslcert);
    FileContent key = take(client.sslkey);
    keep_chain(CertificateSource::sslcert, certificate);
    if (key.configured()) {
      const Trial trial = try_client_files(certificate, key);
      const bool of_certificate = trial.why.starts_with(shown_path(client.sslcert));
      if (trial.end != TrialEnd::loads) {
        // A passphrase would have to stand in the connection string, which pgfed.conninfo refuses.
        tell(trial.kind == ProblemKind::reload_would_fail ? ProblemKind::file_unreadable
                                                          : trial.kind,
             trial.end == TrialEnd::sealed ? Status::unknown : Status::critical,
             (of_certificate ? "sslcert" : "sslkey") + of + trial.why);
      }
    }
    wipe(key);
  }
  if (client.sslrootcert.empty()) return;
  const FileContent authorities = take(client.sslrootcert);
  if (!authorities.error.empty()) {
    tell(ProblemKind::file_unreadable, Status::critical,
         "sslrootcert" + of + shown_path(authorities.path) +
             " cannot be read: " + authorities.error);
    return;
  }
  const std::size_t before = chains_.size();
  keep_chain(CertificateSource::sslrootcert, authorities);
  if (chains_.size() == before) {
    tell(ProblemKind::file_unreadable, Status::critical,
         "sslrootcert" + of + "no usable certificate in " + shown_path(authorities.path));
  }
}

/// What others need to verify a certificate must stand in its own file.
void Surveyor::judge_chains() {
  for (const Chain& chain : chains_) {
    if (!chain.is_authority()) continue;
    roots_.add_roots(chain.certificates);
    authorities_.add(chain.certificates);
  }
  if (system_roots_) {
    roots_.add_system();
    authorities_.add_system();
  }
  for (const Chain& chain : chains_) {
    if (chain.is_authority() || authorities_.empty()) continue;
    if (roots_.anchor_of(chain.certificates).known()) continue;
    const bool helped = authorities_.anchor_of(chain.certificates).known();
    const core::Certificate last = certificate_of(chain.certificates.back().get());
    if (!helped && last.self_issued) continue;  // of an authority that is not trusted here
    tell(ProblemKind::chain_incomplete, Status::warning,
         std::string(word(chain.source)) + " " + shown_path(chain.path) + " lacks " +
             core::in_quotes(last.issuer.substr(0, 80)) +
             (helped ? ", which stands in a CA file here only"
                     : ", which is in no CA file here either"));
  }
}

void Surveyor::list_certificates() {
  // Certificates first: of authorities there may be a hundred.
  std::stable_sort(chains_.begin(), chains_.end(), [](const Chain& a, const Chain& b) {
    return !a.is_authority() && b.is_authority();
  });
  std::vector<core::FileCertificate>& told = survey_.read.inventory.certificates;
  std::size_t left_out = 0;
  for (const Chain& chain : chains_) {
    const std::span<const X509Owner> all(chain.certificates);
    core::Fingerprint anchor;
    if (!chain.is_authority()) anchor = authorities_.anchor_of(all);
    for (std::size_t depth = 0; depth < all.size(); ++depth) {
      if (told.size() >= core::kMaxNodeCertificates) {
        ++left_out;
        continue;
      }
      core::FileCertificate one;
      one.source = chain.source;
      one.depth = static_cast<std::uint8_t>(depth);
      one.path = core::PathText(chain.path);
      one.certificate = certificate_of(all[depth].get());
      one.anchor = chain.is_authority() ? authorities_.anchor_of(all.subspan(depth, 1)) : anchor;
      told.push_back(std::move(one));
    }
  }
  if (left_out == 0) return;
  tell(ProblemKind::certificates_cut, Status::ok,
       std::to_string(left_out) + " more certificates in the files of this node are not shown");
}

}  // namespace

FileSurvey survey_files(const ServerTls& server, const Keywords& conninfo) {
  return Surveyor(server, conninfo).run();
}

}  // namespace pgfed::net
