#include "pgfed/core/probe_machine.hpp"

#include <algorithm>
#include <utility>

#include "pgfed/core/printable.hpp"
#include "pgfed/core/server_answer.hpp"
#include "pgfed/core/text.hpp"

namespace pgfed::core {

using Kind = ProbeAction::Kind;

namespace {

/// How long an SSLRequest may stay without an answer before something else is tried.
constexpr Duration kPatience = seconds(2);

std::string milliseconds_text(Duration duration) {
  return std::to_string(std::chrono::duration_cast<milliseconds>(duration).count()) + " ms";
}

}  // namespace

ProbeMachine::ProbeMachine(ProbeTarget target) : target_(std::move(target)) {
  result_.negotiation = target_.negotiation;
}

std::string ProbeMachine::server_name_of(std::string_view host) {
  const bool address = host.find_first_not_of("0123456789.") == std::string_view::npos ||
                       host.find(':') != std::string_view::npos;
  return address ? std::string() : std::string(host);
}

Duration ProbeMachine::patience() const { return std::min(kPatience, target_.limit / 3); }

ProbeAction ProbeMachine::start(Instant now) {
  if (phase_ != Phase::idle) return {};
  end_ = now + target_.limit;
  deadline_ = end_;
  mark_ = now;
  phase_ = Phase::resolving;
  return act(Kind::resolve);
}

ProbeAction ProbeMachine::step(const probe_event::Event& event, Instant now) {
  if (phase_ == Phase::idle || phase_ == Phase::finished) return {};
  ProbeAction action = std::visit([&](const auto& one) { return on(one, now); }, event);
  // Events may come for ever; time does not wait for them.
  const bool late = phase_ != Phase::finished && now >= end_;
  return late && !std::holds_alternative<probe_event::Tick>(event) ? on(probe_event::Tick{}, now)
                                                                   : action;
}

// ---- resolve and connect ---------------------------------------------------------------------

ProbeAction ProbeMachine::on(const probe_event::Resolved& event, Instant now) {
  if (phase_ != Phase::resolving) return {};
  if (event.addresses.empty()) return on(probe_event::ResolveFailed{"it has no address"}, now);
  addresses_ = event.addresses;
  if (addresses_.size() > kMaxAddresses) addresses_.resize(kMaxAddresses);
  std::string list;
  for (const std::string& one : addresses_) list += (list.empty() ? "" : ", ") + printable(one);
  note(ProbeStage::resolve, true, list, now);
  address_ = 0;
  return connect_next(now);
}

ProbeAction ProbeMachine::on(const probe_event::ResolveFailed& event, Instant now) {
  if (phase_ != Phase::resolving) return {};
  return finish(ProbeStage::resolve, Diagnosis::unresolved, printable(event.text), now);
}

/// Each address gets its share of the time that is left.
ProbeAction ProbeMachine::connect_next(Instant now) {
  phase_ = Phase::connecting;
  dialled_ = now;
  if (now >= end_) return on_no_connection(now);
  const auto left = static_cast<Duration::rep>(addresses_.size() - address_);
  wait_until(purpose_ == Purpose::first ? now + (end_ - now) / left : now + patience());
  ProbeAction action = act(Kind::connect);
  action.address = addresses_[address_];
  return action;
}

ProbeAction ProbeMachine::dial_again(Purpose purpose, Instant now) {
  purpose_ = purpose;
  answer_.clear();
  received_ = 0;
  return connect_next(now);
}

ProbeAction ProbeMachine::on(const probe_event::Connected& /*event*/, Instant now) {
  if (phase_ != Phase::connecting) return {};
  shorten(connect_time_, age(dialled_, now));
  if (purpose_ == Purpose::first) {
    note(ProbeStage::connect, true,
         printable(addresses_[address_]) + " port " + std::to_string(target_.port), now);
  }
  const bool plain = purpose_ == Purpose::request || purpose_ == Purpose::again ||
                     (purpose_ == Purpose::first && target_.negotiation == Negotiation::postgres);
  return plain ? begin_request(now) : begin_tls(now);
}

ProbeAction ProbeMachine::on(const probe_event::ConnectFailed& event, Instant now) {
  if (phase_ != Phase::connecting) return {};
  switch (purpose_) {
    case Purpose::first:
      break;
    case Purpose::hello:
      return conclude_setback("does not accept a second connection", false, now);
    case Purpose::again:
      return conclude_router(now);
    case Purpose::request:
      return dial_again(Purpose::control, now);
    case Purpose::control:
    case Purpose::repeat:
      return conclude_route(now);
  }
  if (!connect_problems_.empty()) connect_problems_ += "; ";
  connect_problems_ += printable(addresses_[address_]) + " port " + std::to_string(target_.port) +
                       ": " + printable(event.text);
  // One that refuses says more of the endpoint than another that stays silent.
  if (!connect_problem_ || event.kind == probe_event::ConnectFailed::Kind::refused) {
    connect_problem_ = event.kind;
  }
  if (++address_ < addresses_.size()) return connect_next(now);
  address_ = 0;
  Diagnosis diagnosis = Diagnosis::tcp_timeout;
  if (*connect_problem_ == probe_event::ConnectFailed::Kind::refused) {
    diagnosis = Diagnosis::tcp_refused;
  } else if (*connect_problem_ == probe_event::ConnectFailed::Kind::other) {
    diagnosis = Diagnosis::unknown;
  }
  return finish(ProbeStage::connect, diagnosis, connect_problems_, now);
}

ProbeAction ProbeMachine::on_no_connection(Instant now) {
  probe_event::ConnectFailed failed;
  failed.kind = probe_event::ConnectFailed::Kind::timed_out;
  failed.text = "no answer within " + milliseconds_text(age(dialled_, now));
  return on(failed, now);
}

// ---- SSLRequest ------------------------------------------------------------------------------

ProbeAction ProbeMachine::begin_request(Instant now) {
  phase_ = Phase::asking;
  answer_.clear();
  wait_until(now + patience());
  return act(Kind::send_request);
}

ProbeAction ProbeMachine::on(const probe_event::Received& event, Instant now) {
  if ((phase_ != Phase::asking && phase_ != Phase::reading) || event.bytes.empty()) return {};
  const std::size_t room = kMaxServerAnswer - std::min(kMaxServerAnswer, answer_.size());
  answer_ += std::string_view(event.bytes).substr(0, room);
  if (phase_ == Phase::asking) return on_answer(now);
  return error_is_complete(answer_) ? on_error_text(true, now) : ProbeAction{};
}

ProbeAction ProbeMachine::on_answer(Instant now) {
  const ServerAnswer kind = classify_answer(answer_);
  if (kind == ServerAnswer::tls_alert) return on_setback(Setback::alert, now);
  if (kind == ServerAnswer::error) {
    phase_ = Phase::reading;
    wait_until(now + kLinger);
    return error_is_complete(answer_) ? on_error_text(true, now) : ProbeAction{};
  }
  if (purpose_ == Purpose::again && kind != ServerAnswer::tls) return conclude_router(now);
  if (purpose_ == Purpose::request) {
    const bool old = kind == ServerAnswer::tls || kind == ServerAnswer::no_tls;
    if (!old) return dial_again(Purpose::control, now);
    return finish(ProbeStage::handshake, Diagnosis::backend_too_old_for_direct,
                  "answers an SSLRequest, but closes the connection when TLS comes at once: the "
                  "server is older than PostgreSQL 17",
                  now);
  }
  switch (kind) {
    case ServerAnswer::tls:
      note(ProbeStage::negotiate, true, "the server does TLS", now);
      return begin_tls(now);
    case ServerAnswer::no_tls:
      return finish(ProbeStage::negotiate, Diagnosis::plaintext_only, "the server does no TLS",
                    now);
    case ServerAnswer::tls_and_more:
      return finish(ProbeStage::handshake, Diagnosis::handshake_failed,
                    "the server sent unencrypted data after its answer to the SSLRequest", now);
    default:
      return finish(ProbeStage::negotiate, Diagnosis::not_postgres,
                    "answers the SSLRequest with " + in_quotes(answer_), now);
  }
}

ProbeAction ProbeMachine::on_error_text(bool complete, Instant now) {
  if (purpose_ == Purpose::again) return conclude_router(now);
  const std::string message = error_message_of(answer_);
  std::string detail = "answers the SSLRequest with an error: " + in_quotes(message);
  if (!complete) detail += " (not complete)";
  return finish(ProbeStage::negotiate, Diagnosis::server_error, std::move(detail), now);
}

ProbeAction ProbeMachine::on(const probe_event::Closed& /*event*/, Instant now) {
  if (phase_ == Phase::reading) return on_error_text(false, now);
  if (phase_ == Phase::asking) return on_setback(Setback::closed, now);
  return {};
}

ProbeAction ProbeMachine::on_setback(Setback setback, Instant now) {
  switch (purpose_) {
    case Purpose::again:
      return conclude_router(now);
    case Purpose::request:
      return dial_again(Purpose::control, now);
    default:
      setback_ = setback;
      return dial_again(Purpose::hello, now);
  }
}

ProbeAction ProbeMachine::act(Kind kind) {
  return {.kind = kind, .address = {}, .server_name = {}};
}

void ProbeMachine::shorten(std::optional<Duration>& shortest, Duration one) {
  shortest = shortest ? std::min(*shortest, one) : one;
}

// ---- the end ---------------------------------------------------------------------------------

ProbeAction ProbeMachine::on(const probe_event::LateAlert& event, Instant now) {
  return phase_ == Phase::lingering ? judge(event.alert, now) : ProbeAction{};
}

ProbeAction ProbeMachine::on(const probe_event::LateEnd& /*event*/, Instant now) {
  return phase_ == Phase::lingering ? judge(0, now) : ProbeAction{};
}

ProbeAction ProbeMachine::on(const probe_event::Tick& /*event*/, Instant now) {
  if (now < deadline_) return {};
  switch (phase_) {
    case Phase::resolving:
      return finish(ProbeStage::resolve, Diagnosis::unresolved,
                    "no answer from the name servers within " + limit_text(), now);
    case Phase::connecting:
      return on_no_connection(now);
    case Phase::asking:
      return on_setback(Setback::silent, now);
    case Phase::reading:
      return on_error_text(false, now);
    case Phase::handshaking:
      return on_silent_handshake(now);
    case Phase::lingering:
      return judge(0, now);
    default:
      return {};
  }
}

std::string ProbeMachine::limit_text() const { return milliseconds_text(target_.limit); }

ProbeAction ProbeMachine::judge(std::uint8_t alert, Instant now) {
  const Judgement chain = judge_chain(facts_);
  const Judgement name = judge_name(facts_, target_.host);
  const Judgement client = judge_client(facts_, alert, target_.own_problem);
  result_.client_certificate = client_certificate_of(facts_, alert);

  ProbeStage stage = ProbeStage::done;
  const Judgement* first = nullptr;
  const auto weigh = [&](ProbeStage at, const Judgement& one) {
    note(at, one.ok(), one.detail, now);
    if (first != nullptr || one.ok()) return;
    first = &one;
    stage = at;
  };
  // The time was spent in listening for what the server says of our certificate.
  const Instant before = mark_;
  mark_ = now;
  weigh(ProbeStage::chain, chain);
  weigh(ProbeStage::name, name);
  mark_ = before;
  weigh(ProbeStage::client, client);
  phase_ = Phase::finished;
  deadline_ = kForever;
  result_.stage = stage;
  result_.diagnosis = first == nullptr ? Diagnosis::ok : first->diagnosis;
  result_.detail = first == nullptr ? std::string() : first->detail;
  return act(Kind::finish);
}

ProbeAction ProbeMachine::finish(ProbeStage stage, Diagnosis diagnosis, std::string detail,
                                 Instant now) {
  note(stage, false, detail, now);
  phase_ = Phase::finished;
  deadline_ = kForever;
  result_.stage = stage;
  result_.diagnosis = diagnosis;
  result_.detail = std::move(detail);
  return act(Kind::finish);
}

void ProbeMachine::keep(const TlsFacts& facts) {
  facts_ = facts;
  if (facts_.chain.size() > kMaxChain) facts_.chain.resize(kMaxChain);
  result_.protocol = printable(facts_.protocol, 31);
  result_.cipher = printable(facts_.cipher, 63);
  result_.alpn = printable(facts_.alpn, 63);
  result_.chain = facts_.chain;
  result_.anchor = facts_.verdict.anchor;
  result_.chain_ok.reset();
  result_.host_match.reset();
  if (!facts_.chain.empty()) {
    if (facts_.verdict.checked) result_.chain_ok = facts_.verdict.error == ChainError::none;
    result_.host_match = match_host(facts_.chain.front(), target_.host).matches;
  }
  result_.client_certificate = client_certificate_of(facts_, 0);
}

void ProbeMachine::note(ProbeStage stage, bool ok, std::string detail, Instant now) {
  result_.steps.push_back(
      {.stage = stage, .ok = ok, .detail = std::move(detail), .elapsed = age(mark_, now)});
  mark_ = now;
}

}  // namespace pgfed::core
