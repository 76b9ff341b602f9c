#include <algorithm>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "pgfed/core/federation.hpp"

/// The verdicts on certificates, TLS paths and authorities, and the rows that show them.
namespace pgfed::core {

namespace {

constexpr std::uint32_t kDirectSince = 170000;  ///< server_version_num
constexpr std::int64_t kMicrosecondsPerSecond = 1000000;
/// Validity runs out without an event.
constexpr Duration kReviewInterval = seconds(5);

int rank(Status status) {
  switch (status) {
    case Status::critical:
      return 3;
    case Status::warning:
      return 2;
    case Status::unknown:
      return 1;
    default:
      return 0;
  }
}

bool worse(Status a, Status b) { return rank(a) > rank(b); }

Severity severity_of(Status status) {
  if (status == Status::critical) return Severity::critical;
  return status == Status::warning ? Severity::warning : Severity::info;
}

const FileCertificate* server_leaf(const PeerTrust& trust) {
  if (!trust.inventory) return nullptr;
  for (const FileCertificate& file : trust.inventory->certificates) {
    if (file.source == CertificateSource::ssl_cert_file && file.depth == 0) return &file;
  }
  return nullptr;
}

bool is_authority(const FileCertificate& file) {
  return file.source == CertificateSource::ssl_ca_file ||
         file.source == CertificateSource::sslrootcert;
}

std::string list_of(const std::vector<std::string>& names) {
  std::string list;
  for (const std::string& name : names) list += (list.empty() ? "" : ", ") + name;
  return list;
}

/// What a verdict on validity says, and about which certificate.
struct Aged {
  Validity validity;
  std::string what;
};

/// One that is over is worse than one that soon will be.
int rank(const Validity& validity) {
  return 2 * rank(validity.status) + (validity.state == CertificateState::expiring ? 0 : 1);
}

void keep_worst(Aged& worst, Validity&& found, const std::string& what) {
  if (!worse(found.status, Status::ok) || rank(found) <= rank(worst.validity)) return;
  worst.validity = std::move(found);
  worst.what = what;
}

}  // namespace

std::int64_t Federation::wall_seconds(Instant now) const {
  return (facts_.wall_clock + age(facts_at_, now).count()) / kMicrosecondsPerSecond;
}

void Federation::review_trust(Instant now, Actions& actions) {
  if (!trust_dirty_ && age(trust_reviewed_at_, now) < kReviewInterval) return;
  const bool changed = std::exchange(trust_dirty_, false);
  trust_reviewed_at_ = now;
  renew_own_inventory();
  for (Peer& peer : peers_) {
    if (is_self(peer) && own_inventory_.digest != 0) peer.trust.inventory = own_inventory_;
    review_endpoint(peer, actions);
    review_problems(peer);
    if (facts_.wall_clock > 0) review_validity(peer, wall_seconds(now), actions);
  }
  review_authorities();
  review_shared_certificate();
  if (changed) ++trust_revision_;
}

/// The verdict on the path and on the certificate as such; what a probe alone cannot know is added.
void Federation::review_endpoint(Peer& peer, Actions& actions) {
  PeerTrust& trust = peer.trust;
  const Diagnosis before = trust.diagnosis;
  trust.tls.reset();
  trust.detail.clear();
  if (!trust.result) {
    trust.diagnosis = Diagnosis::unknown;
    trust.status = Status::unknown;
    trust.certificate = CertificateState::unknown;
    return;
  }
  const ProbeResult& result = *trust.result;
  trust.diagnosis = result.diagnosis;
  trust.detail = result.detail;
  if (result.guessed && (result.diagnosis == Diagnosis::route_missing ||
                         result.diagnosis == Diagnosis::backend_too_old_for_direct)) {
    const std::uint32_t version = peer.report  ? peer.report->server_version
                                  : peer.heard ? peer.heard->server_version
                                               : peer.info.server_version;
    if (version >= kDirectSince) trust.diagnosis = Diagnosis::route_missing;
    if (version > 0 && version < kDirectSince) {
      trust.diagnosis = Diagnosis::backend_too_old_for_direct;
      trust.detail = "PostgreSQL " + std::to_string(version / 10000) +
                     " does not know direct negotiation, which the node's options ask for";
    }
  }
  // A rule `cert` in pg_hba.conf lets the handshake pass, and refuses what comes after it.
  if (trust.diagnosis == Diagnosis::ok && peer.failing &&
      peer.failure.kind == FailureKind::rejected && peer.failure.sqlstate == "28000" &&
      peer.failure.message.view().find("valid client certificate") != std::string_view::npos) {
    trust.diagnosis = Diagnosis::client_certificate_required;
    trust.detail = peer.failure.message;
  }
  trust.status = status_of(trust.diagnosis);
  trust.certificate = certificate_state_of(trust.diagnosis);
  // What keeps this node from its own endpoint, where a cluster has no hairpin, is no fault.
  if (is_self(peer) && is_path(trust.diagnosis)) {
    trust.status = Status::unknown;
  } else {
    trust.tls = Finding{trust.status, trust.detail, hint_for(trust.diagnosis)};
  }
  if (before != trust.diagnosis && (before != Diagnosis::unknown || trust.status != Status::ok)) {
    std::string detail = std::string(word(before)) + " to " + std::string(word(trust.diagnosis));
    if (!trust.detail.empty()) detail += ": " + trust.detail.str();
    actions.emplace_back(
        Record{severity_of(trust.status), "tls_diagnosis", peer.spec.name, detail});
  }
}

void Federation::review_validity(Peer& peer, std::int64_t wall_now, Actions& actions) {
  PeerTrust& trust = peer.trust;
  const CertificateThresholds& thresholds = judged_by_of(peer).certificate;
  const std::optional<Finding> before = trust.validity;
  Aged worst;
  worst.validity.status = Status::ok;
  worst.validity.state = CertificateState::ok;
  bool any = false;
  for (std::size_t depth = 0; depth < trust.chain.size(); ++depth) {
    const Certificate& certificate = trust.chain[depth];
    Validity found = judge_validity(certificate, thresholds, wall_now);
    if (depth == 0 &&
        (trust.certificate == CertificateState::ok || found.state == CertificateState::expired)) {
      trust.certificate = found.state;
    }
    any = true;
    keep_worst(worst, std::move(found),
               depth == 0 ? "the certificate that it serves" : "CA " + certificate.subject);
  }
  if (trust.inventory) {
    for (const FileCertificate& file : trust.inventory->certificates) {
      any = true;
      const std::string what =
          is_authority(file) ? "CA " + file.certificate.subject
                             : "its " + std::string(word(file.source)) + " " + file.path.str();
      keep_worst(worst, judge_validity(file.certificate, thresholds, wall_now), what);
    }
  }
  if (!any) {
    trust.validity.reset();
    return;
  }
  Finding finding;
  finding.status = worst.validity.status;
  finding.state = worst.validity.state;
  if (finding.status != Status::ok) {
    finding.detail = worst.what + " " + worst.validity.detail;
    finding.hint =
        "Renew it in the files of that node (see path in pgfed.certificates); the server loads "
        "them by itself with pgfed.tls_reload = on, else SELECT pg_reload_conf().";
  }
  trust.validity = finding;
  const Status status_before = before ? before->status : Status::ok;
  const CertificateState state_before = before ? before->state : CertificateState::ok;
  if (finding.status == status_before && finding.state == state_before) return;
  ++trust_revision_;
  const char* event = "certificate_expiring";
  if (finding.status == Status::ok) event = "certificate_renewed";
  if (finding.state == CertificateState::expired) event = "certificate_expired";
  if (finding.state == CertificateState::not_yet_valid) event = "certificate_not_yet_valid";
  actions.emplace_back(Record{severity_of(finding.status), event, peer.spec.name, finding.detail});
}

void Federation::review_problems(Peer& peer) {
  PeerTrust& trust = peer.trust;
  trust.files.reset();
  trust.security.reset();
  if (!trust.inventory) return;
  trust.files = Finding{};
  trust.security = Finding{};
  for (const Problem& problem : trust.inventory->problems) {
    Finding& finding = is_security(problem.kind) ? *trust.security : *trust.files;
    if (!worse(problem.status, finding.status)) continue;
    finding.status = problem.status;
    finding.detail = problem.detail;
    finding.hint = hint_for(problem.kind);
  }
}

/// CA rotation: which authorities are trusted by some nodes only.
void Federation::review_authorities() {
  struct Authority {
    std::string subject;
    std::set<std::string> trusted_by;
    std::vector<std::string> ends_in;  ///< nodes whose certificate this one vouches for
  };
  std::map<std::string, Authority> authorities;
  std::vector<const Peer*> nodes;
  std::vector<std::string> cut;  // nodes that have more than they tell: they may trust any
  for (const Peer& peer : peers_) {
    if (!peer.trust.inventory) continue;
    bool any = false;
    for (const FileCertificate& file : peer.trust.inventory->certificates) {
      if (!is_authority(file)) continue;
      // Intermediates in a CA file are no anchors.
      if (!file.certificate.self_issued) continue;
      any = true;
      Authority& authority = authorities[file.certificate.sha256.hex()];
      authority.subject = file.certificate.subject;
      authority.trusted_by.insert(peer.spec.name.str());
    }
    if (any) nodes.push_back(&peer);
    const auto& problems = peer.trust.inventory->problems;
    if (std::any_of(problems.begin(), problems.end(), [](const Problem& problem) {
          return problem.kind == ProblemKind::certificates_cut;
        })) {
      cut.push_back(peer.spec.name.str());
    }
  }
  for (auto& [hex, authority] : authorities) {
    authority.trusted_by.insert(cut.begin(), cut.end());
  }
  for (const Peer* peer : nodes) {
    const FileCertificate* leaf = server_leaf(peer->trust);
    if (leaf == nullptr || !leaf->anchor.known()) continue;
    const auto found = authorities.find(leaf->anchor.hex());
    if (found != authorities.end()) found->second.ends_in.push_back(peer->spec.name.str());
  }
  authorities_ = Finding{};
  for (const auto& [hex, authority] : authorities) {
    if (authority.trusted_by.size() == nodes.size()) continue;
    std::vector<std::string> missing;
    for (const Peer* peer : nodes) {
      if (authority.trusted_by.count(peer->spec.name.str()) == 0) {
        missing.push_back(peer->spec.name.str());
      }
    }
    const Status status = authority.ends_in.empty() ? Status::warning : Status::critical;
    if (!worse(status, authorities_.status)) continue;
    authorities_.status = status;
    std::string detail = "CA " + authority.subject + " (" + hex.substr(0, 16) + ") trusted by " +
                         std::to_string(authority.trusted_by.size()) + " of " +
                         std::to_string(nodes.size()) + " nodes: missing on " + list_of(missing);
    if (!authority.ends_in.empty()) {
      detail += "; the certificate of " + list_of(authority.ends_in) + " ends in it";
    }
    authorities_.detail = detail;
    authorities_.hint =
        "Add it to ssl_ca_file and sslrootcert on every node before any certificate that it "
        "signed is used, and take the old one out last.";
  }
}

/// One certificate for all, by its names: the same subject and names, but not the same bytes, is a
/// renewal that has missed a node.
void Federation::review_shared_certificate() {
  struct Variant {
    std::int64_t not_before = 0;
    std::vector<std::string> nodes;
  };
  std::map<std::string, std::map<std::string, Variant>> by_names;
  for (const Peer& peer : peers_) {
    const FileCertificate* leaf = server_leaf(peer.trust);
    if (leaf == nullptr) continue;
    const Certificate& certificate = leaf->certificate;
    std::size_t fits = 0;
    for (const Peer& other : peers_) {
      fits += match_host(certificate, other.spec.host.view()).matches ? 1 : 0;
    }
    if (fits < 2) continue;
    std::string names = certificate.subject;
    for (const std::string& name : certificate.dns_names) names += "\n" + name;
    for (const std::string& name : certificate.ip_addresses) names += "\n" + name;
    Variant& variant = by_names[names][certificate.sha256.hex()];
    variant.not_before = certificate.not_before;
    variant.nodes.push_back(peer.spec.name.str());
  }
  shared_certificate_.reset();
  for (const auto& [names, variants] : by_names) {
    std::size_t nodes = 0;
    const Variant* newest = nullptr;
    for (const auto& [hex, variant] : variants) {
      nodes += variant.nodes.size();
      if (newest == nullptr || variant.not_before > newest->not_before) newest = &variant;
    }
    if (nodes < 2) continue;
    if (!shared_certificate_) shared_certificate_ = Finding{};
    if (variants.size() == 1) continue;
    std::vector<std::string> others;
    for (const auto& [hex, variant] : variants) {
      if (&variant == newest) continue;
      others.insert(others.end(), variant.nodes.begin(), variant.nodes.end());
    }
    shared_certificate_->status = Status::warning;
    shared_certificate_->detail = "the shared certificate differs: " + list_of(newest->nodes) +
                                  " has the newest, " + list_of(others) + " another one";
    shared_certificate_->hint =
        "Copy the newest certificate and its key to: " + list_of(others) + ".";
  }
}

/// The node's own host must be in its certificate; where it is shared, everybody's.
std::optional<Problem> Federation::missing_names() const {
  const Peer* self = find(self_.node);
  if (self == nullptr) return std::nullopt;
  const Certificate* own = nullptr;
  for (const FileCertificate& file : files_.inventory.certificates) {
    if (file.source == CertificateSource::ssl_cert_file && file.depth == 0) {
      own = &file.certificate;
    }
  }
  if (own == nullptr) return std::nullopt;
  bool shared = false;
  for (const Peer& peer : peers_) {
    const FileCertificate* leaf = is_self(peer) ? nullptr : server_leaf(peer.trust);
    shared = shared || (leaf != nullptr && leaf->certificate.sha256 == own->sha256);
  }
  std::vector<std::string> missing;
  for (const Peer& peer : peers_) {
    if (!shared && !is_self(peer)) continue;
    if (!match_host(*own, peer.spec.host.view()).matches) missing.push_back(peer.spec.host.str());
  }
  if (missing.empty()) return std::nullopt;
  Problem problem;
  problem.kind = ProblemKind::name_missing;
  problem.status =
      match_host(*own, self->spec.host.view()).matches ? Status::warning : Status::critical;
  problem.detail =
      list_of(missing) + " is not in the certificate, which is for " + names_text(*own);
  return problem;
}

void Federation::write_finding(const char* name, const Name& node, const Finding& finding) {
  checks_.write(name, node, finding.status, finding.detail.view(), finding.hint.view());
}

void Federation::write_trust_checks(const Peer& peer) {
  if (idle() || !may_dial(peer) || identity_ == Identity::quarantine) return;
  const Name& name = peer.spec.name;
  if (peer.trust.tls) write_finding(check::kTls, name, *peer.trust.tls);
  if (peer.trust.validity) write_finding(check::kCertificate, name, *peer.trust.validity);
  if (peer.trust.files) write_finding(check::kFiles, name, *peer.trust.files);
  if (peer.trust.security) write_finding(check::kSecurity, name, *peer.trust.security);
}

}  // namespace pgfed::core
