#include "pgfed/pg/worker_engine.hpp"

#include <malloc.h>

#include <algorithm>
#include <exception>
#include <new>
#include <string>
#include <unordered_map>
#include <utility>
#include <variant>

#include "pgfed/core/federation.hpp"
#include "pgfed/core/wire.hpp"
#include "pgfed/net/conninfo.hpp"
#include "pgfed/net/epoll_set.hpp"
#include "pgfed/net/prober.hpp"
#include "pgfed/net/tls_files.hpp"
#include "pgfed/net/transport.hpp"

namespace pgfed::pg {

namespace {

/// Answers that come without any waiting (a refused connection, a name that is an address) are
/// taken in the same turn, but a turn must end.
constexpr int kMaxRounds = 4;

/// What is sent along with a question may be this much older than the question: with a hundred
/// peers, most of the work of asking would be to say the same again and again.
constexpr core::Duration kLongestReuse = core::milliseconds(100);
constexpr int kReusesPerInterval = 8;

/// From this size on memory is mapped by itself, which glibc would otherwise give up after the first
/// time.
constexpr int kMappedFrom = 1024 * 1024;

// Places in the engine's own set of descriptors.
constexpr net::EpollSet::Tag kTransport = 1;
constexpr net::EpollSet::Tag kProber = 2;

}  // namespace

struct WorkerEngine::Impl {
  /// A session that the core wants.
  struct Live {
    core::NodeSpec node;
    bool open = false;
  };

  Impl(const core::Self& self, std::size_t max_nodes, core::Instant (*read_clock)())
      : clock(read_clock),
        federation(self, max_nodes, read_clock()),
        transport(net::Transport::Hooks{read_clock, [this] { ++descriptors; },
                                        [this] { --descriptors; }}),
        prober(
            net::Prober::Hooks{read_clock, [this] { ++descriptors; }, [this] { --descriptors; }}) {
    ++descriptors;
    sockets.watch(transport.descriptor(), kTransport, true, false);
    sockets.watch(prober.descriptor(), kProber, true, false);
  }

  core::Instant (*clock)();
  int descriptors = 0;
  core::Federation federation;
  net::Transport transport;
  net::Prober prober;
  net::EpollSet sockets;  ///< of the two, for the worker to wait on
  net::TlsFiles files;
  std::string conninfo;
  bool has_conninfo = false;
  std::unordered_map<core::Attempt, Live> live;

  std::vector<core::Event> events;
  std::vector<core::Event> taken;  ///< being worked on
  core::Actions actions;
  std::vector<std::uint8_t> encoded;  ///< own report, see fresh_report()
  std::vector<std::uint8_t> asked;    ///< the same with what one peer is told beside it
  core::Instant encoded_at{};
  std::uint64_t encoded_revision = 0;
  core::Duration reuse{};
  std::vector<core::Record> records;
  std::vector<core::Record> told;
  core::Picture picture;
  std::vector<core::LinkRow> links;
  core::Report own;
  core::TrustPicture trust;
  bool reload = false;
  core::Text<256> problem;

  void set_conninfo(const char* text, const char* database);
  void redial_all();
  void note(const core::Event& event);
  const std::vector<std::uint8_t>& fresh_report(core::Instant now);
  const std::vector<std::uint8_t>& question(const core::Ask& ask, core::Instant now);
  bool perform(core::Instant now);
  void run();
};

void WorkerEngine::Impl::set_conninfo(const char* text, const char* database) {
  if (has_conninfo && conninfo == text) return;
  core::Result<net::Keywords> parsed = net::parse_peer_conninfo(text);
  const net::Keywords keywords = parsed.ok() ? std::move(parsed.value()) : net::Keywords{};
  prober.set_conninfo(keywords);
  files.set_conninfo(keywords);
  transport.set_conninfo(keywords, database);
  conninfo = text;
  if (!std::exchange(has_conninfo, true)) return;
  redial_all();
  events.emplace_back(core::TrustChanged{});
}

/// A standing session is reported as broken, which the core mends at once and without a word; one
/// that is being opened is opened anew under its number and within its time.
void WorkerEngine::Impl::redial_all() {
  for (auto& [attempt, session] : live) {
    transport.hangup(core::Hangup{attempt});
    if (session.open) {
      core::Failure failure;
      failure.stage = core::Stage::connect;
      failure.kind = core::FailureKind::network;
      failure.message = "pgfed.conninfo has changed";
      events.emplace_back(core::SessionFailed{attempt, failure});
    } else {
      transport.dial(core::Dial{attempt, session.node});
    }
  }
}

void WorkerEngine::Impl::note(const core::Event& event) {
  if (const auto* opened = std::get_if<core::SessionOpened>(&event)) {
    if (const auto at = live.find(opened->attempt); at != live.end()) at->second.open = true;
  } else if (const auto* failed = std::get_if<core::SessionFailed>(&event)) {
    live.erase(failed->attempt);
  }
}

const std::vector<std::uint8_t>& WorkerEngine::Impl::fresh_report(core::Instant now) {
  const std::uint64_t revision = federation.revision() + federation.links_revision();
  if (encoded.empty() || revision != encoded_revision || core::age(encoded_at, now) >= reuse) {
    encoded = core::encode(federation.report(now));
    encoded_at = now;
    encoded_revision = revision;
  }
  return encoded;
}

/// The report, and what is known already of the one that is asked.
const std::vector<std::uint8_t>& WorkerEngine::Impl::question(const core::Ask& ask,
                                                              core::Instant now) {
  const std::vector<std::uint8_t>& report = fresh_report(now);
  if (ask.known_inventory == 0) return report;
  asked = report;
  core::append_known_inventory(asked, ask.known_inventory);
  return asked;
}

/// True where the transport was given something to do.
bool WorkerEngine::Impl::perform(core::Instant now) {
  bool busy = false;
  for (core::Action& action : actions) {
    if (const auto* dial = std::get_if<core::Dial>(&action)) {
      live[dial->attempt] = Live{dial->node, false};
      transport.dial(*dial);
      busy = true;
    } else if (const auto* ask = std::get_if<core::Ask>(&action)) {
      transport.ask(*ask, question(*ask, now));
      busy = true;
    } else if (const auto* hangup = std::get_if<core::Hangup>(&action)) {
      live.erase(hangup->attempt);
      transport.hangup(*hangup);
    } else if (const auto* probe = std::get_if<core::Probe>(&action)) {
      prober.probe(probe->id, probe->endpoint, probe->limit);
      busy = true;
    } else if (const auto* cancelled = std::get_if<core::CancelProbe>(&action)) {
      prober.cancel(cancelled->id);
    } else if (std::holds_alternative<core::ReloadServer>(action)) {
      reload = true;
    } else {
      records.push_back(std::get<core::Record>(action));
    }
  }
  actions.clear();
  return busy;
}

void WorkerEngine::Impl::run() {
  // A few handshakes at most: then it is the peers' turn.
  prober.run(events);
  if (const core::Instant now = clock(); files.due(now)) events.emplace_back(files.read());
  for (int round = 0; round < kMaxRounds; ++round) {
    transport.run(events);
    taken.clear();
    std::swap(taken, events);
    const core::Instant now = clock();
    for (const core::Event& event : taken) {
      note(event);
      federation.step(event, now, actions);
    }
    federation.step(core::Tick{}, now, actions);
    if (!perform(now)) return;
  }
}

template <typename Body>
bool WorkerEngine::guarded(Body&& body) noexcept {
  try {
    body();
    return true;
  } catch (const std::exception& exception) {
    impl_->problem = exception.what();
  } catch (...) {
    impl_->problem = "unknown C++ exception";
  }
  return false;
}

WorkerEngine::WorkerEngine(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
WorkerEngine::~WorkerEngine() { impl_->transport.hangup_all(); }

WorkerEngine* WorkerEngine::create(const core::Self& self, std::size_t max_nodes,
                                   core::Instant (*clock)()) noexcept {
  // What is large and lives for a moment, as the links of a large federation, goes back to the system.
#ifdef M_MMAP_THRESHOLD
  mallopt(M_MMAP_THRESHOLD, kMappedFrom);
#endif
  try {
    return new WorkerEngine(std::make_unique<Impl>(self, max_nodes, clock));
  } catch (...) {
    return nullptr;
  }
}

bool WorkerEngine::take_settings(const core::Settings& settings, const char* conninfo,
                                 const char* database) noexcept {
  return guarded([&] {
    impl_->events.emplace_back(core::SettingsChanged{settings});
    impl_->set_conninfo(conninfo, database);
    impl_->reuse =
        std::min<core::Duration>(settings.peer_interval / kReusesPerInterval, kLongestReuse);
    impl_->encoded.clear();
  });
}

bool WorkerEngine::take_nodes(core::CatalogState state, std::span<const core::NodeSpec> nodes,
                              std::uint64_t table_system_identifier,
                              const core::VersionText& extension_version) noexcept {
  return guarded([&] {
    core::NodesChanged change;
    change.state = state;
    change.nodes.assign(nodes.begin(), nodes.end());
    change.table_system_identifier = table_system_identifier;
    change.extension_version = extension_version;
    impl_->events.emplace_back(std::move(change));
  });
}

bool WorkerEngine::take_facts(const core::Facts& facts) noexcept {
  return guarded([&] { impl_->events.emplace_back(core::FactsTaken{facts}); });
}

bool WorkerEngine::take_server_tls(const net::ServerTls& server) noexcept {
  return guarded([&] { impl_->files.set_server(server); });
}

bool WorkerEngine::take_setup(std::span<const core::Problem> problems) noexcept {
  return guarded([&] {
    impl_->events.emplace_back(core::SetupRead{{problems.begin(), problems.end()}});
  });
}

bool WorkerEngine::take_letter(const core::Name& certificate_node,
                               std::span<const std::uint8_t> bytes) noexcept {
  return guarded([&] {
    core::Result<core::Report> report = core::decode(bytes);
    if (!report) return;
    impl_->events.emplace_back(core::Heard{std::move(report.value()), certificate_node});
  });
}

bool WorkerEngine::run() noexcept {
  return guarded([&] { impl_->run(); });
}

int WorkerEngine::descriptor() const noexcept { return impl_->sockets.descriptor(); }

core::Instant WorkerEngine::next_deadline() const noexcept {
  return std::min({impl_->federation.next_deadline(), impl_->transport.next_deadline(),
                   impl_->prober.next_deadline(), impl_->files.next_look()});
}

int WorkerEngine::descriptors() const noexcept { return impl_->descriptors; }

std::span<const core::Record> WorkerEngine::take_records() noexcept {
  impl_->told.clear();
  std::swap(impl_->told, impl_->records);
  return impl_->told;
}

core::Identity WorkerEngine::identity() const noexcept { return impl_->federation.identity(); }
std::uint64_t WorkerEngine::revision() const noexcept { return impl_->federation.revision(); }
std::uint64_t WorkerEngine::links_revision() const noexcept {
  return impl_->federation.links_revision();
}

std::uint64_t WorkerEngine::trust_revision() const noexcept {
  return impl_->federation.trust_revision();
}

bool WorkerEngine::take_reload() noexcept { return std::exchange(impl_->reload, false); }

bool WorkerEngine::make_picture(core::Instant now) noexcept {
  return guarded([&] { impl_->picture = impl_->federation.picture(now); });
}

bool WorkerEngine::make_links(core::Instant now) noexcept {
  return guarded([&] { impl_->links = impl_->federation.links(now); });
}

void WorkerEngine::drop_links() noexcept { std::vector<core::LinkRow>().swap(impl_->links); }

bool WorkerEngine::make_own_report(core::Instant now) noexcept {
  return guarded([&] { impl_->own = impl_->federation.report(now); });
}

bool WorkerEngine::make_trust(core::Instant now) noexcept {
  return guarded([&] { impl_->trust = impl_->federation.trust(now); });
}

void WorkerEngine::drop_trust() noexcept {
  std::vector<core::TlsRow>().swap(impl_->trust.tls);
  std::vector<core::CertificateRow>().swap(impl_->trust.certificates);
}

const core::TrustPicture& WorkerEngine::trust() const noexcept { return impl_->trust; }
const core::Inventory& WorkerEngine::own_inventory() const noexcept {
  return impl_->federation.own_inventory();
}

const core::Picture& WorkerEngine::picture() const noexcept { return impl_->picture; }
std::span<const core::LinkRow> WorkerEngine::links() const noexcept { return impl_->links; }
const core::Report& WorkerEngine::own_report() const noexcept { return impl_->own; }
const char* WorkerEngine::problem() const noexcept { return impl_->problem.c_str(); }

}  // namespace pgfed::pg
