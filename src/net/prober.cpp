#include "pgfed/net/prober.hpp"

#include <sys/random.h>

#include <algorithm>
#include <array>
#include <deque>
#include <exception>
#include <limits>
#include <map>
#include <new>
#include <set>
#include <string>
#include <utility>

#include "pgfed/net/epoll_set.hpp"
#include "pgfed/net/plain_messages.hpp"
#include "pgfed/net/resolver.hpp"
#include "pgfed/net/tls_probe.hpp"
#include "pgfed/net/tls_trust.hpp"

namespace pgfed::net {

namespace {

/// The resolver's place among the probes.
constexpr EpollSet::Tag kResolver = std::numeric_limits<EpollSet::Tag>::max();
/// After so long, the caller has its turn; a step of a handshake more may be on its way.
constexpr core::Duration kTurn = core::milliseconds(5);

/// "pgfed-0123456789abcdef.invalid": nobody can have it (RFC 6761), nor expect it.
std::string name_without_route() {
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::array<unsigned char, 8> bytes{};
  // Without randomness it is still a name that no router knows.
  if (getrandom(bytes.data(), bytes.size(), GRND_NONBLOCK) < 0) bytes.fill(0);
  std::string name = "pgfed-";
  for (const unsigned char byte : bytes) {
    name += kDigits[byte >> 4U];
    name += kDigits[byte & 0xFU];
  }
  return name + ".invalid";
}

core::Probed failed_here(core::ProbeId id, const std::string& why) {
  core::Probed probed;
  probed.id = id;
  probed.result.detail = why;
  return probed;
}

}  // namespace

struct Prober::Impl {
  struct Request {
    core::ProbeId id = 0;
    core::NodeSpec endpoint;
    core::Duration limit{};
  };

  explicit Impl(Hooks given)
      : hooks(std::move(given)),
        around{.sockets = sockets,
               .now = hooks.now,
               .reserve_descriptor = hooks.reserve_descriptor,
               .release_descriptor = hooks.release_descriptor},
        resolver({.now = hooks.now,
                  .reserve_descriptor = hooks.reserve_descriptor,
                  .release_descriptor = hooks.release_descriptor}) {
    if (hooks.reserve_descriptor) hooks.reserve_descriptor();
    sockets.watch(resolver.descriptor(), kResolver, true, false);
  }
  ~Impl() {
    probes.clear();
    if (hooks.release_descriptor) hooks.release_descriptor();
  }
  Impl(const Impl&) = delete;
  Impl& operator=(const Impl&) = delete;

  TlsProbe* find(core::ProbeId id) {
    const auto found = probes.find(id);
    return found == probes.end() ? nullptr : &found->second;
  }

  /// Does something with a probe; what it throws ends that probe and no other.
  template <typename Work>
  void contain(core::ProbeId id, Work work);
  void begin(const Request& request);
  void begin_next();
  void take_answers();
  void take_ready(core::Instant until);
  void drop(core::ProbeId id);

  Hooks hooks;
  EpollSet sockets;
  TlsProbe::Surroundings around;
  Resolver resolver;
  TlsTrust trust;
  Keywords conninfo;
  std::deque<Request> waiting;
  std::map<core::ProbeId, TlsProbe> probes;
  std::vector<core::Event> news;
  std::size_t turns = 0;
  bool left_over = false;  ///< the last run ended before all was done
};

template <typename Work>
void Prober::Impl::contain(core::ProbeId id, Work work) {
  std::string problem;
  try {
    work();
  } catch (const std::bad_alloc&) {
    problem = "out of memory";
  } catch (const std::exception& error) {
    problem = error.what();
  } catch (...) {
    problem = "unknown exception";
  }
  TlsProbe* probe = find(id);
  if (!problem.empty()) {
    news.emplace_back(failed_here(id, problem));
  } else if (probe != nullptr && probe->finished()) {
    core::Probed probed;
    probed.id = id;
    probed.result = probe->result();
    news.emplace_back(std::move(probed));
  } else {
    return;
  }
  drop(id);
}

void Prober::Impl::drop(core::ProbeId id) {
  resolver.cancel(id);
  probes.erase(id);
}

void Prober::Impl::begin(const Request& request) {
  core::ProbeTarget target;
  target.host = request.endpoint.host.str();
  target.port = request.endpoint.port;
  target.limit = request.limit;
  target.control_name = name_without_route();

  const core::Result<Keywords> options = parse_conninfo(request.endpoint.options.str());
  const auto option = [&](const char* keyword) {
    const std::string_view general = value_of(conninfo, keyword);
    return std::string(general.empty() && options ? value_of(options.value(), keyword) : general);
  };
  if (option("sslnegotiation") == "direct") target.negotiation = core::Negotiation::direct;
  target.sni = option("sslsni") != "0";

  const std::shared_ptr<const TlsSetup> setup = trust.current();
  target.min_protocol = setup->min_protocol();
  target.own_problem = setup->own_problem();
  const auto [place, is_new] =
      probes.try_emplace(request.id, request.id, std::move(target), setup, around);
  if (!is_new) return;
  TlsProbe& probe = place->second;
  probe.start();
  if (!options) {
    probe.not_resolved("the options of the endpoint cannot be parsed");
    return;
  }
  const std::string hostaddr = option("hostaddr");
  if (hostaddr.empty()) {
    resolver.start(request.id, request.endpoint.host.str());
    return;
  }
  std::vector<std::string> addresses = Resolver::numeric_list(hostaddr);
  if (addresses.empty()) {
    probe.not_resolved("hostaddr of the endpoint is no numeric address");
    return;
  }
  probe.resolved(std::move(addresses));
}

void Prober::Impl::begin_next() {
  while (!waiting.empty() && probes.size() < kMaxProbes) {
    const Request request = waiting.front();
    waiting.pop_front();
    contain(request.id, [&] { begin(request); });
  }
}

void Prober::Impl::take_answers() {
  std::vector<Resolver::Answer> answers;
  resolver.run(answers);
  for (Resolver::Answer& answer : answers) {
    TlsProbe* probe = find(answer.id);
    if (probe == nullptr) continue;
    contain(answer.id, [&] {
      if (answer.addresses.empty()) {
        probe->not_resolved(answer.error);
      } else {
        probe->resolved(std::move(answer.addresses));
      }
    });
  }
}

void Prober::Impl::take_ready(core::Instant until) {
  std::vector<EpollSet::Ready> ready;
  sockets.collect(ready);
  // Not always the same one first, since the last ones may have to wait.
  if (!ready.empty()) {
    std::rotate(ready.begin(), ready.begin() + static_cast<std::ptrdiff_t>(turns++ % ready.size()),
                ready.end());
  }
  std::set<core::ProbeId> unheard;
  for (const EpollSet::Ready& one : ready) {
    TlsProbe* probe = one.tag == kResolver ? nullptr : find(one.tag);
    if (probe == nullptr) continue;
    if (hooks.now() >= until) {
      unheard.insert(one.tag);
    } else {
      contain(one.tag, [&] { probe->on_ready(one.readable, one.writable); });
    }
  }
  left_over = !unheard.empty();
  // Whatever has come in time counts, even if nobody had the time to look at it.
  const core::Instant now = hooks.now();
  std::vector<core::ProbeId> late;
  for (const auto& [id, probe] : probes) {
    if (probe.deadline() <= now && !unheard.contains(id)) late.push_back(id);
  }
  for (const core::ProbeId id : late) {
    contain(id, [&] { find(id)->on_deadline(); });
  }
}

Prober::Prober(Hooks hooks) : impl_(std::make_unique<Impl>(std::move(hooks))) {}

Prober::~Prober() = default;

void Prober::set_conninfo(const Keywords& conninfo) {
  try {
    impl_->conninfo = conninfo;
    impl_->trust.set_conninfo(conninfo);
  } catch (...) {  // NOLINT(bugprone-empty-catch): no memory; what was known before stays
  }
}

void Prober::probe(core::ProbeId id, const core::NodeSpec& endpoint, core::Duration limit) {
  try {
    impl_->waiting.push_back({.id = id, .endpoint = endpoint, .limit = limit});
  } catch (...) {  // NOLINT(bugprone-empty-catch): no memory even to say so
  }
}

void Prober::cancel(core::ProbeId id) {
  std::erase_if(impl_->waiting, [id](const Impl::Request& one) { return one.id == id; });
  std::erase_if(impl_->news, [id](const core::Event& one) {
    const auto* probed = std::get_if<core::Probed>(&one);
    return probed != nullptr && probed->id == id;
  });
  impl_->drop(id);
}

void Prober::cancel_all() {
  impl_->waiting.clear();
  impl_->news.clear();
  while (!impl_->probes.empty()) impl_->drop(impl_->probes.begin()->first);
}

int Prober::descriptor() const { return impl_->sockets.descriptor(); }

core::Instant Prober::next_deadline() const {
  const Impl& impl = *impl_;
  const bool startable = !impl.waiting.empty() && impl.probes.size() < kMaxProbes;
  if (startable || !impl.news.empty() || impl.left_over) return core::kNever;
  core::Instant next = impl.probes.empty() ? core::kForever : impl.resolver.next_deadline();
  for (const auto& [id, probe] : impl.probes) next = std::min(next, probe.deadline());
  return next;
}

void Prober::run(std::vector<core::Event>& events) {
  const PlainMessages plain;
  Impl& impl = *impl_;
  try {
    impl.begin_next();
    impl.take_answers();
    impl.take_ready(impl.hooks.now() + kTurn);
    events.insert(events.end(), std::make_move_iterator(impl.news.begin()),
                  std::make_move_iterator(impl.news.end()));
    impl.news.clear();
  } catch (...) {  // NOLINT(bugprone-empty-catch): no memory; what was not told is told next time
  }
}

}  // namespace pgfed::net
