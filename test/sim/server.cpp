#include "sim/server.hpp"

#include <algorithm>

#include "pgfed/core/wire.hpp"

#include "sim/world.hpp"

namespace pgfed::sim {

using core::Attempt;
using core::Role;
using core::State;

namespace {

constexpr std::uint64_t kBytesPerMillisecond = 1000;
constexpr core::Instant kBoot = core::Instant{} + core::seconds(100);
constexpr std::uint16_t kPort = 5432;

std::string text(std::string_view a, std::string_view b) {
  return std::string(a) + " " + std::string(b);
}

}  // namespace

Server::Server(World& world, std::size_t index, const ServerTraits& traits)
    : world_(world), index_(index), traits_(traits) {}

core::Instant Server::local(Time at) const { return kBoot + traits_.boot_offset + at; }

core::Instant Server::local_now() const { return local(world_.now()); }

// ---- life ------------------------------------------------------------------------------------

void Server::start() {
  host_down_ = false;
  if (alive()) return;
  ++life_;
  wal_since_ = world_.now();
  for (std::uint8_t& byte : incarnation_.bytes) {
    byte = static_cast<std::uint8_t>(world_.dice().next());
  }
  core::Self self;
  self.node = traits_.name;
  self.federation = kFederation;
  self.incarnation = incarnation_;
  self.system_identifier = kSystemIdentifier;
  self.library_version = "0.1";
  self.server_version = 150010;
  self.seed = world_.dice().next();
  federation_.emplace(self, kMaxNodes, local_now());
  tick_at_ = Time::max();
  world_.trace().line(world_.now(), traits_.name.view(),
                      [&] { return "starts life " + std::to_string(life_); });
  world_.trace().mix(life_);
  step(core::SettingsChanged{settings_});
  take_facts();
  // The database is looked at a little later, by another worker.
  world_.queue().in(
      world_.dice().between(Duration(0), world_.interval() / 10), [this, life = life_] {
        if (life != life_ || !alive()) return;
        receive([this] {
          step(core::NodesChanged{core::CatalogState::ready, table_, kSystemIdentifier, "0.1"});
        });
      });
}

void Server::crash(bool host_too) {
  if (!alive()) return;
  world_.trace().line(world_.now(), traits_.name.view(),
                      [&] { return host_too ? "loses power" : "crashes"; });
  const std::uint64_t ended = life_;
  wal_base_ = flushed();
  wal_since_ = world_.now();
  federation_.reset();
  connections_.clear();
  inbox_.clear();
  frozen_ = false;
  host_down_ = host_too;
  ++life_;
  if (!host_too) world_.reset_callers(index_, ended);
}

void Server::freeze() {
  if (!running()) return;
  world_.trace().line(world_.now(), traits_.name.view(), [] { return std::string("freezes"); });
  wal_base_ = flushed();
  wal_since_ = world_.now();
  frozen_ = true;
}

void Server::thaw() {
  if (!frozen_) return;
  world_.trace().line(world_.now(), traits_.name.view(), [] { return std::string("thaws"); });
  frozen_ = false;
  wal_since_ = world_.now();
  // Timers first or messages first: a worker that wakes may see either.
  if (world_.dice().chance(50)) tick();
  while (!inbox_.empty() && running()) {
    const auto message = std::move(inbox_.front());
    inbox_.pop_front();
    message();
  }
  if (running()) tick();
}

void Server::receive(std::function<void()> message) {
  if (frozen_) {
    inbox_.push_back(std::move(message));
  } else {
    message();
  }
}

// ---- facts -----------------------------------------------------------------------------------

core::Lsn Server::flushed() const {
  if (role_ != Role::primary || !running()) return wal_base_;
  const auto written = std::chrono::duration_cast<core::milliseconds>(world_.now() - wal_since_);
  return {wal_base_.value + static_cast<std::uint64_t>(written.count()) * kBytesPerMillisecond};
}

void Server::set_role(Role role, std::uint32_t timeline) {
  if (role == Role::primary && role_ != Role::primary) {
    wal_base_ = replayed_;
    wal_since_ = world_.now();
  } else if (role == Role::standby && role_ == Role::primary) {
    wal_base_ = flushed();
    replayed_ = std::min(wal_base_, world_.server(upstream_).flushed());  // rewound
  }
  role_ = role;
  timeline_ = timeline;
  if (running()) take_facts();
}

core::Facts Server::make_facts() const {
  core::Facts facts;
  facts.role = role_;
  facts.timeline = timeline_;
  facts.system_identifier = kSystemIdentifier;
  facts.wall_clock = 1700000000000000 + world_.now().count();
  if (role_ == Role::primary) {
    facts.state = State::running;
    facts.write = facts.flush = facts.replay = flushed();
    return facts;
  }
  facts.state = world_.streams(index_, upstream_) ? State::streaming : State::not_streaming;
  facts.write = facts.flush = facts.replay = replayed_;
  if (facts.state == State::streaming) {
    facts.upstream_host = world_.server(upstream_).traits().host;
    facts.upstream_port = kPort;
    facts.upstream_end = replayed_;
  }
  return facts;
}

void Server::take_facts() {
  if (!running()) return;
  if (role_ == Role::standby && world_.streams(index_, upstream_)) {
    const Server& upstream = world_.server(upstream_);
    timeline_ = std::max(timeline_, upstream.timeline());
    replayed_ = std::max(
        replayed_, upstream.role() == Role::primary ? upstream.flushed() : upstream.replayed_);
  }
  const core::Facts next = make_facts();
  if (next.role != facts_.role || next.state != facts_.state || next.timeline != facts_.timeline) {
    facts_changed = world_.now();
    world_.trace().line(world_.now(), traits_.name.view(), [&] {
      return "is " + text(word(next.role), word(next.state)) + ", timeline " +
             std::to_string(next.timeline);
    });
  }
  facts_ = next;
  const core::Lsn lsn = role_ == Role::primary ? facts_.flush : facts_.replay;
  history_.emplace_back(world_.now(), lsn);
  step(core::FactsTaken{facts_});
}

core::Lsn Server::lsn_at(Time at) const {
  const auto after = std::upper_bound(
      history_.begin(), history_.end(), at,
      [](Time wanted, const std::pair<Time, core::Lsn>& entry) { return wanted < entry.first; });
  return after == history_.begin() ? core::Lsn{} : (after - 1)->second;
}

void Server::take_settings(const core::Settings& settings) {
  settings_ = settings;
  if (!alive()) return;
  receive([this] { step(core::SettingsChanged{settings_}); });
}

void Server::take_table(std::uint64_t version, const std::vector<core::NodeSpec>& nodes) {
  if (version <= table_version_) return;
  table_version_ = version;
  table_ = nodes;
  disturbance.touch(world_.now());
  if (!alive()) return;
  receive([this] {
    step(core::NodesChanged{core::CatalogState::ready, table_, kSystemIdentifier, "0.1"});
  });
}

// ---- what it does ----------------------------------------------------------------------------

void Server::step(const core::Event& event) {
  if (!alive()) return;
  core::Actions actions;
  federation_->step(event, local_now(), actions);
  world_.trace().mix(static_cast<std::uint64_t>(world_.now().count()));
  world_.trace().mix(event.index() * 64 + index_);
  for (const core::Action& action : actions) act(action);
  world_.after_step(*this);
  schedule_tick();
}

void Server::step_stale(const core::ReplyReceived& reply) {
  const auto seen = [this] {
    std::vector<core::Instant> instants;
    for (const auto& peer : federation_->picture(local_now()).peers) {
      instants.push_back(peer.last_seen);
    }
    return instants;
  };
  const auto before = seen();
  step(reply);
  if (seen() != before) throw Violation(traits_.name.str() + " takes a stale reply for a new one");
}

void Server::act(const core::Action& action) {
  world_.trace().mix(action.index());
  if (const auto* dialled = std::get_if<core::Dial>(&action)) dial(*dialled);
  if (const auto* asked = std::get_if<core::Ask>(&action)) ask(*asked);
  if (const auto* hung_up = std::get_if<core::Hangup>(&action)) hangup(*hung_up);
  if (const auto* record = std::get_if<core::Record>(&action)) {
    world_.trace().mix(record->event.view());
    world_.trace().mix(record->detail.view());
    world_.trace().line(world_.now(), traits_.name.view(), [&] {
      return "* " + text(word(record->severity), record->event.view()) + " " +
             text(record->node.view(), record->detail.view());
    });
    world_.on_record(*this, *record);
  }
}

void Server::dial(const core::Dial& dial) {
  world_.trace().mix(dial.attempt);
  world_.trace().line(world_.now(), traits_.name.view(), [&] {
    return "dials " + text(dial.node.name.view(), dial.node.host.view()) + " #" +
           std::to_string(dial.attempt);
  });
  for (const auto& [attempt, connection] : connections_) {
    if (connection.node == dial.node.name) {
      throw Violation("second session to " + dial.node.name.str() + " from " + traits_.name.str());
    }
  }
  if (!connections_.emplace(dial.attempt, Connection{dial.node.name}).second) {
    throw Violation("attempt " + std::to_string(dial.attempt) + " used twice");
  }
  Connection& connection = connections_[dial.attempt];
  connection.since = world_.now();
  const auto target = world_.server_at(dial.node.host);
  if (!target) return;  // nobody there, and no host that would say so
  connection.target = *target;
  connection.reaches = true;
  if (*target == index_ && traits_.no_hairpin) {
    if (traits_.refuses_itself) {
      fail(index_, life_, dial.attempt, core::FailureKind::network, "no route to oneself");
    }
    return;
  }
  world_.network().send(index_, *target,
                        [this, life = life_, attempt = dial.attempt, target = *target] {
                          world_.server(target).on_connect(index_, life, attempt);
                        });
}

void Server::ask(const core::Ask& ask) {
  world_.trace().mix(ask.request);
  const auto found = connections_.find(ask.attempt);
  if (found == connections_.end()) {
    throw Violation(traits_.name.str() + " asks on closed attempt " + std::to_string(ask.attempt));
  }
  Connection& connection = found->second;
  if (!connection.open) throw Violation("asks on an attempt that is not open yet");
  if (connection.asked != 0) throw Violation("asks while a request is outstanding");
  connection.asked = ask.request;
  connection.since = world_.now();
  world_.trace().line(world_.now(), traits_.name.view(), [&] {
    return "asks " + connection.node.str() + " #" + std::to_string(ask.attempt) + "." +
           std::to_string(ask.request);
  });
  world_.network().send(
      index_, connection.target,
      [this, life = life_, ask, target = connection.target, target_life = connection.target_life,
       bytes = core::encode(federation_->report(local_now()))] {
        world_.server(target).on_request(index_, life, ask.attempt, ask.request, target_life,
                                         bytes);
      });
}

void Server::hangup(const core::Hangup& hangup) {
  world_.trace().mix(hangup.attempt);
  if (connections_.erase(hangup.attempt) == 0) {
    throw Violation(traits_.name.str() + " hangs up closed attempt " +
                    std::to_string(hangup.attempt));
  }
  world_.trace().line(world_.now(), traits_.name.view(),
                      [&] { return "hangs up #" + std::to_string(hangup.attempt); });
}

void Server::schedule_tick() {
  if (!alive()) return;
  const core::Instant deadline = federation_->next_deadline();
  if (deadline == core::kForever) return;
  const Time wanted = std::max(world_.now(), world_.now() + (deadline - local_now()));
  if (tick_at_ > world_.now() && tick_at_ <= wanted) return;
  tick_at_ = wanted + world_.dice().between(Duration(0), traits_.tick_lateness);
  world_.queue().at(tick_at_, [this, life = life_, at = tick_at_] {
    if (life != life_ || tick_at_ != at) return;
    tick_at_ = Time::max();
    if (running()) tick();
  });
}

void Server::tick() {
  count_tick();
  step(core::Tick{});
}

void Server::count_tick() {
  constexpr std::uint64_t kMostAtOnce = 8;
  const Time now = world_.now();
  ticks_here_ = now == last_tick_ ? ticks_here_ + 1 : 1;
  last_tick_ = now;
  if (ticks_here_ > kMostAtOnce) throw Violation(traits_.name.str() + " does not let time pass");
  if (now - lately_ > world_.interval()) {
    lately_ = now;
    ticks_lately_ = 0;
  }
  // Four looks at the lag, and for each session a few dials or requests with their deadlines.
  if (++ticks_lately_ > 12 + 16 * kMaxNodes / 2) throw Violation(traits_.name.str() + " is busy");
}

// ---- what arrives ----------------------------------------------------------------------------

void Server::fail(std::size_t to, std::uint64_t to_life, Attempt attempt, core::FailureKind kind,
                  const char* message) {
  core::Failure failure;
  failure.stage = core::Stage::connect;
  failure.kind = kind;
  failure.message = message;
  world_.network().send(index_, to, [this, to, to_life, attempt, failure] {
    world_.server(to).on_failed(to_life, attempt, failure);
  });
}

void Server::on_connect(std::size_t from, std::uint64_t from_life, Attempt attempt) {
  if (host_down_) return;
  if (!alive()) return fail(from, from_life, attempt, core::FailureKind::network, "refused");
  receive([this, from, from_life, attempt] {
    switch (trouble_) {
      case Trouble::crowded:
        return fail(from, from_life, attempt, core::FailureKind::crowded, "too many clients");
      case Trouble::starting:
        return fail(from, from_life, attempt, core::FailureKind::starting, "starting up");
      case Trouble::rejected:
        return fail(from, from_life, attempt, core::FailureKind::rejected, "no such role");
      case Trouble::not_loaded:
        return fail(from, from_life, attempt, core::FailureKind::not_loaded, "no pgfed");
      default:
        break;
    }
    world_.network().send(index_, from, [this, from, from_life, attempt, life = life_] {
      world_.server(from).on_accepted(from_life, attempt, life);
    });
    if (trouble_ == Trouble::flapping) {
      world_.queue().in(world_.interval() / 200, [this, from, from_life, attempt] {
        fail(from, from_life, attempt, core::FailureKind::network, "closed at once");
      });
    }
  });
}

void Server::on_accepted(std::uint64_t life, Attempt attempt, std::uint64_t target_life) {
  if (life != life_ || !alive()) return;
  receive([this, attempt, target_life] {
    const auto found = connections_.find(attempt);
    if (found != connections_.end() && !found->second.open) {
      found->second.open = true;
      found->second.target_life = target_life;
    }
    // A transport would not say so twice, nor of an attempt that was given up; the core copes.
    core::SessionInfo info;
    info.server_version = 150010;
    step(core::SessionProgress{attempt, core::Stage::query});
    step(core::SessionOpened{attempt, info});
  });
}

void Server::on_failed(std::uint64_t life, Attempt attempt, const core::Failure& failure) {
  if (life != life_ || !alive()) return;
  receive([this, attempt, failure] {
    connections_.erase(attempt);
    world_.trace().line(world_.now(), traits_.name.view(), [&] {
      return "hears that #" + std::to_string(attempt) + " failed: " + failure.message.str();
    });
    step(core::SessionFailed{attempt, failure});
  });
}

void Server::on_request(std::size_t from, std::uint64_t from_life, Attempt attempt,
                        core::RequestId request, std::uint64_t expected_life,
                        const std::vector<std::uint8_t>& bytes) {
  if (host_down_) return;
  if (!alive() || expected_life != life_) {
    return fail(from, from_life, attempt, core::FailureKind::network, "reset");
  }
  receive([this, from, from_life, attempt, request, bytes] {
    const auto heard = core::decode(bytes);
    if (!heard.ok()) throw Violation("a report does not decode: " + heard.error().message);
    const ServerTraits& caller = world_.server(from).traits();
    step(core::Heard{heard.value(), caller.shared_certificate ? core::Name() : caller.name});
    std::vector<std::uint8_t> reply = core::encode(federation_->report(local_now()));
    if (trouble_ == Trouble::garbled) {
      reply.resize(world_.dice().below(reply.size()));
      if (!reply.empty()) reply[0] ^= 1U;
    }
    world_.network().send(index_, from, [this, from, from_life, attempt, request, reply] {
      world_.server(from).on_reply(from_life, attempt, request, reply);
    });
  });
}

void Server::on_reply(std::uint64_t life, Attempt attempt, core::RequestId request,
                      const std::vector<std::uint8_t>& bytes) {
  if (life != life_ || !alive()) return;
  receive([this, attempt, request, bytes] {
    const auto report = core::decode(bytes);
    if (report.ok()) {
      const core::ReplyReceived reply{attempt, request, report.value()};
      const auto found = connections_.find(attempt);
      if (found == connections_.end() || found->second.asked != request) return step_stale(reply);
      found->second.asked = 0;
      step(reply);
      return;
    }
    if (connections_.erase(attempt) == 0) return;
    core::Failure failure;
    failure.stage = core::Stage::query;
    failure.kind = core::FailureKind::protocol;
    failure.message = report.error().message;
    step(core::SessionFailed{attempt, failure});
  });
}

}  // namespace pgfed::sim
