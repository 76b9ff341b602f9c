#include "pgfed/net/transport.hpp"

#include <algorithm>
#include <exception>
#include <limits>
#include <new>
#include <utility>

#include "pgfed/net/conninfo.hpp"
#include "pgfed/net/dial_keywords.hpp"
#include "pgfed/net/epoll_set.hpp"
#include "pgfed/net/failure.hpp"
#include "pgfed/net/peer_connection.hpp"
#include "pgfed/net/plain_messages.hpp"
#include "pgfed/net/resolver.hpp"

namespace pgfed::net {

using core::FailureKind;
using core::Stage;

namespace {

/// The resolver's place among the attempts, which are counted from 1.
constexpr EpollSet::Tag kResolver = std::numeric_limits<EpollSet::Tag>::max();
constexpr std::size_t kMaxRemembered = 1024;

/// With which address of a host to begin. libpq tries them in turn, but waits for a silent one
/// until the core gives the attempt up; so the next attempt begins with the next address, and one
/// that worked is kept.
class AddressMemory {
 public:
  void order(const std::string& host, std::vector<std::string>& addresses) const {
    const auto known = first_.find(host);
    if (known == first_.end()) return;
    const auto first = std::find(addresses.begin(), addresses.end(), known->second);
    if (first != addresses.end()) std::rotate(addresses.begin(), first, addresses.end());
  }
  void begin_with(const std::string& host, const std::string& address) {
    if (first_.size() >= kMaxRemembered) first_.clear();
    first_[host] = address;
  }

 private:
  std::map<std::string, std::string> first_;
};

}  // namespace

struct Transport::Impl {
  struct Session {
    Session(const core::Dial& dial, EpollSet& sockets, const PeerConnection::Descriptors& hooks)
        : node(dial.node), connection(dial.attempt, sockets, hooks) {}

    core::NodeSpec node;
    Keywords keywords;
    std::vector<std::string> addresses;  ///< in the order in which they are tried
    bool opened = false;
    PeerConnection connection;
  };

  explicit Impl(Hooks given)
      : hooks(std::move(given)),
        descriptors{.reserve = hooks.reserve_descriptor, .release = hooks.release_descriptor},
        resolver({.now = hooks.now,
                  .reserve_descriptor = hooks.reserve_descriptor,
                  .release_descriptor = hooks.release_descriptor}) {
    if (hooks.reserve_descriptor) hooks.reserve_descriptor();
    sockets.watch(resolver.descriptor(), kResolver, true, false);
  }
  ~Impl() {
    sessions.clear();
    if (hooks.release_descriptor) hooks.release_descriptor();
  }
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;

  Session* find(core::Attempt attempt) {
    const auto found = sessions.find(attempt);
    return found == sessions.end() ? nullptr : &found->second;
  }

  /// Runs what concerns one session; what it throws ends that session and no other.
  template <typename Work>
  void contain(Session& session, Work work) noexcept {
    try {
      work();
    } catch (const std::bad_alloc&) {
      session.connection.fail(make_failure(Stage::none, FailureKind::network, "out of memory"));
    } catch (const std::exception& error) {
      session.connection.fail(make_failure(Stage::none, FailureKind::network, error.what()));
    } catch (...) {
      session.connection.fail(make_failure(Stage::none, FailureKind::network, "unknown exception"));
    }
  }

  void begin(core::Attempt attempt, Session& session);
  void connect(Session& session, std::vector<std::string> addresses);
  void forget(core::Attempt attempt);
  void try_next_address(const Session& session);
  void take_answers();
  void report(std::vector<core::Event>& events);

  Hooks hooks;
  PeerConnection::Descriptors descriptors;
  EpollSet sockets;
  Resolver resolver;
  Keywords conninfo;
  std::string database = "postgres";
  AddressMemory memory;
  std::map<core::Attempt, Session> sessions;
};

void Transport::Impl::begin(core::Attempt attempt, Session& session) {
  core::Result<Keywords> keywords = dial_keywords(session.node, conninfo, database);
  if (!keywords) {
    session.connection.fail(
        make_failure(Stage::connect, FailureKind::network, keywords.error().message));
    return;
  }
  session.keywords = std::move(keywords.value());

  const std::string hostaddr(value_of(session.keywords, "hostaddr"));
  if (hostaddr.empty()) {
    resolver.start(attempt, session.node.host.str());
    take_answers();  // a numeric address, or one from /etc/hosts, is there already
    return;
  }
  std::vector<std::string> addresses = Resolver::numeric_list(hostaddr);
  if (addresses.empty()) {
    session.connection.fail(
        make_failure(Stage::resolve, FailureKind::network,
                     "hostaddr of node \"" + session.node.name.str() + "\" is no numeric address"));
    return;
  }
  connect(session, std::move(addresses));
}

void Transport::Impl::connect(Session& session, std::vector<std::string> addresses) {
  memory.order(session.node.host.str(), addresses);
  set_addresses(session.keywords, session.node, addresses);
  session.addresses = std::move(addresses);
  session.connection.connect(session.keywords);
}

void Transport::Impl::forget(core::Attempt attempt) {
  const auto found = sessions.find(attempt);
  if (found == sessions.end()) return;
  if (found->second.connection.phase() == PeerConnection::Phase::resolving) {
    resolver.cancel(attempt);
  }
  try_next_address(found->second);
  sessions.erase(found);
}

void Transport::Impl::try_next_address(const Session& session) {
  if (session.opened || session.addresses.size() < 2) return;
  memory.begin_with(session.node.host.str(), session.addresses[1]);
}

void Transport::Impl::take_answers() {
  std::vector<Resolver::Answer> answers;
  resolver.run(answers);
  for (Resolver::Answer& answer : answers) {
    Session* session = find(answer.id);
    if (session == nullptr) continue;
    contain(*session, [&] {
      if (answer.addresses.empty()) {
        session->connection.fail(make_failure(Stage::resolve, FailureKind::network, answer.error));
      } else {
        connect(*session, std::move(answer.addresses));
      }
    });
  }
}

void Transport::Impl::report(std::vector<core::Event>& events) {
  for (auto next = sessions.begin(); next != sessions.end();) {
    const auto one = next++;
    Session& session = one->second;
    if (!session.opened && session.connection.phase() == PeerConnection::Phase::idle) {
      session.opened = true;
      memory.begin_with(session.node.host.str(), session.connection.address());
    }
    session.connection.report(events);
    if (session.connection.phase() == PeerConnection::Phase::failed) {
      try_next_address(session);
      sessions.erase(one);
    }
  }
}

Transport::Transport(Hooks hooks) : impl_(std::make_unique<Impl>(std::move(hooks))) {}

Transport::~Transport() = default;

void Transport::set_conninfo(Keywords keywords, std::string default_database) {
  impl_->conninfo = std::move(keywords);
  impl_->database = std::move(default_database);
}

void Transport::dial(const core::Dial& dial) {
  const PlainMessages plain;
  try {
    impl_->forget(dial.attempt);
    const auto [place, is_new] =
        impl_->sessions.try_emplace(dial.attempt, dial, impl_->sockets, impl_->descriptors);
    Impl::Session& session = place->second;
    impl_->contain(session, [&] { impl_->begin(dial.attempt, session); });
  } catch (
      ...) {  // NOLINT(bugprone-empty-catch): no memory even to say so; the core's deadline does
  }
}

void Transport::ask(const core::Ask& ask, const std::vector<std::uint8_t>& bytes) {
  const PlainMessages plain;
  Impl::Session* session = impl_->find(ask.attempt);
  if (session == nullptr) return;  // it has failed since, and said so
  impl_->contain(*session, [&] { session->connection.ask(ask.request, bytes); });
}

void Transport::hangup(const core::Hangup& hangup) {
  const PlainMessages plain;
  try {
    impl_->forget(hangup.attempt);
  } catch (...) {
    impl_->sessions.erase(hangup.attempt);
  }
}

void Transport::hangup_all() {
  while (!impl_->sessions.empty()) hangup({.attempt = impl_->sessions.begin()->first});
}

int Transport::descriptor() const { return impl_->sockets.descriptor(); }

core::Instant Transport::next_deadline() const {
  const bool news =
      std::any_of(impl_->sessions.begin(), impl_->sessions.end(),
                  [](const auto& session) { return session.second.connection.has_news(); });
  return news ? core::kNever : impl_->resolver.next_deadline();
}

void Transport::run(std::vector<core::Event>& events) {
  const PlainMessages plain;
  try {
    std::vector<EpollSet::Ready> ready;
    impl_->sockets.collect(ready);
    for (const EpollSet::Ready& one : ready) {
      if (one.tag == kResolver) continue;
      Impl::Session* session = impl_->find(one.tag);
      if (session == nullptr) continue;
      impl_->contain(*session, [&] { session->connection.on_ready(one.readable, one.writable); });
    }
    impl_->take_answers();
    impl_->report(events);
  } catch (...) {  // NOLINT(bugprone-empty-catch): no memory; what was not told is told next time
  }
}

}  // namespace pgfed::net
