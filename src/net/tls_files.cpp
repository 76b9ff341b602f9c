#include "pgfed/net/tls_files.hpp"

#include <array>
#include <string>
#include <utility>
#include <vector>

#include "pgfed/net/file_stamp.hpp"
#include "pgfed/net/file_survey.hpp"

namespace pgfed::net {

namespace {

constexpr core::Duration kLook = core::seconds(1);
/// A change that does not stand still is read all the same.
constexpr core::Duration kPatience = core::seconds(5);
/// Time stamps of files lag behind the clock by some milliseconds, and what the server loaded it
/// read a moment before it noted the time.
constexpr std::int64_t kLoadMargin = 200000;

std::uint64_t combine(std::uint64_t all, std::uint64_t one) {
  constexpr std::uint64_t kFactor = 0x9E3779B97F4A7C15ULL;
  return all * kFactor + one;
}

}  // namespace

struct TlsFiles::Impl {
  ServerTls server;  ///< its texts are in `texts`
  std::array<std::string, 12> texts;
  Keywords conninfo;
  bool known = false;  ///< set_server() has been called
  bool fresh = true;   ///< to be read whatever the stamps say

  core::Instant looked_at{};
  std::vector<WatchedPath> watched;  ///< at the last read
  std::uint64_t read_stamp = 0;
  std::uint64_t seen_stamp = 0;
  core::Instant changed_at{};

  std::uint64_t digest = 0;         ///< of the server's files, at the last read
  std::int64_t digest_load = 0;     ///< load time at that read
  std::int64_t digest_first = 0;    ///< load time when these bytes were read first
  std::int64_t unloaded_since = 0;  ///< no load since this load time has the present files

  void keep(const ServerTls& given);
  [[nodiscard]] std::uint64_t stamp() const;
  void judge_load(core::ServerFiles& files_read, std::int64_t newest);
};

void TlsFiles::Impl::keep(const ServerTls& given) {
  server = given;
  std::size_t next = 0;
  for (std::string_view* text :
       {&server.data_directory, &server.ssl_cert_file, &server.ssl_key_file, &server.ssl_ca_file,
        &server.ssl_crl_file, &server.ssl_crl_dir, &server.ssl_min_protocol_version,
        &server.hosts_file, &server.primary_conninfo, &server.live_conninfo,
        &server.listen_addresses, &server.other_edit}) {
    texts.at(next) = *text;
    *text = texts.at(next++);
  }
}

std::uint64_t TlsFiles::Impl::stamp() const {
  std::uint64_t all = 1;
  for (const WatchedPath& one : watched) {
    all = combine(all, (one.directory ? stamp_of_directory(one.path) : stamp_of(one.path)).value);
  }
  return all;
}

/// Whether the server has loaded what lies there now.
void TlsFiles::Impl::judge_load(core::ServerFiles& files_read, std::int64_t newest) {
  if (digest != 0 && digest != files_read.digest && digest_load == server.load_time) {
    // A load after this one only can have them, whatever the time stamps say: directories may have
    // been exchanged.
    unloaded_since = server.load_time;
  }
  if (digest != files_read.digest) digest_first = server.load_time;
  digest = files_read.digest;
  digest_load = server.load_time;
  // A load after they were read here has them, also where their time stamps lie in the future.
  files_read.load_known =
      server.load_time > digest_first ||
      (newest + kLoadMargin < server.load_time && server.load_time != unloaded_since);
}

TlsFiles::TlsFiles() : impl_(std::make_unique<Impl>()) {}
TlsFiles::~TlsFiles() = default;

void TlsFiles::set_server(const ServerTls& server) {
  if (impl_->known && impl_->server == server) return;
  impl_->keep(server);
  impl_->known = true;
  impl_->fresh = true;
}

void TlsFiles::set_conninfo(const Keywords& conninfo) {
  if (impl_->conninfo == conninfo) return;
  impl_->conninfo = conninfo;
  impl_->fresh = true;
}

bool TlsFiles::due(core::Instant now) {
  if (!impl_->known) return false;
  if (impl_->fresh) return true;
  if (core::happened(impl_->looked_at) && core::age(impl_->looked_at, now) < kLook) return false;
  impl_->looked_at = now;
  const std::uint64_t stamp = impl_->stamp();
  if (stamp == impl_->read_stamp) {
    impl_->changed_at = core::kNever;
    impl_->seen_stamp = stamp;
    return false;
  }
  if (!core::happened(impl_->changed_at)) impl_->changed_at = now;
  const bool settled = std::exchange(impl_->seen_stamp, stamp) == stamp;
  return settled || core::age(impl_->changed_at, now) >= kPatience;
}

core::Instant TlsFiles::next_look() const {
  if (!impl_->known) return core::kForever;
  return impl_->fresh ? core::kNever : impl_->looked_at + kLook;
}

core::FilesRead TlsFiles::read() {
  FileSurvey survey = survey_files(impl_->server, impl_->conninfo);
  impl_->watched = std::move(survey.watched);
  // As they were before they were read: what changed meanwhile is noticed afterwards.
  impl_->read_stamp = 1;
  for (const WatchedPath& one : impl_->watched) {
    impl_->read_stamp = combine(impl_->read_stamp, one.stamp);
  }
  impl_->seen_stamp = impl_->read_stamp;
  impl_->changed_at = core::kNever;
  impl_->fresh = false;
  impl_->judge_load(survey.read.server, survey.newest);
  return std::move(survey.read);
}

}  // namespace pgfed::net
