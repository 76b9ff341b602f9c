// Plays bytes as events to the machine of a probe: what a server, a router and the network may do, in
// any order. Built with CMake (see there), or by hand from the root of the repository:
//
//   clang++-14 -std=c++20 -O1 -g -fsanitize=fuzzer,address,undefined -Iinclude
//     test/fuzz/probe_machine_fuzz.cpp src/core/*.cpp -o /tmp/probe_machine_fuzz
//   /tmp/probe_machine_fuzz -max_len=4096 -max_total_time=60
//
// It must come to an end in its time, with a diagnosis and printable words.

#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "pgfed/core/probe_machine.hpp"

namespace {

using namespace pgfed::core;
using namespace pgfed::core::probe_event;

/// Takes values off the input; zeros at its end.
class Input {
 public:
  Input(const std::uint8_t* data, std::size_t size) : data_(data), size_(size) {}
  [[nodiscard]] bool empty() const { return size_ == 0; }
  std::uint8_t byte() {
    if (size_ == 0) return 0;
    --size_;
    return *data_++;
  }
  std::string text() {
    std::string result;
    for (std::size_t left = byte(); left != 0 && size_ != 0; --left) {
      result += static_cast<char>(byte());
    }
    return result;
  }

 private:
  const std::uint8_t* data_;
  std::size_t size_;
};

Certificate certificate_from(Input& input) {
  Certificate certificate;
  certificate.subject = input.text();
  certificate.issuer = input.text();
  certificate.common_name = input.text();
  for (int i = input.byte() % 4; i > 0; --i) certificate.dns_names.push_back(input.text());
  for (int i = input.byte() % 4; i > 0; --i) certificate.ip_addresses.push_back(input.text());
  certificate.serial = input.text();
  certificate.key = input.text();
  certificate.not_after = static_cast<std::int64_t>(input.byte()) << (input.byte() % 60);
  return certificate;
}

TlsFacts facts_from(Input& input) {
  TlsFacts facts;
  const std::uint8_t flags = input.byte();
  facts.alpn = (flags & 1U) != 0 ? "postgresql" : input.text();
  facts.certificate_requested = (flags & 2U) != 0;
  facts.certificate_sent = (flags & 4U) != 0;
  facts.protocol = input.text();
  facts.cipher = input.text();
  for (int i = input.byte() % 12; i > 0; --i) facts.chain.push_back(certificate_from(input));
  facts.verdict.checked = (flags & 8U) != 0;
  facts.verdict.error = static_cast<ChainError>(input.byte() % 16);
  facts.verdict.depth = input.byte();
  facts.verdict.reason = input.text();
  if ((flags & 16U) != 0) facts.verdict.trust_problem = input.text();
  if ((flags & 32U) != 0) facts.verdict.culprit = certificate_from(input);
  return facts;
}

Event event_from(Input& input) {
  switch (input.byte() % 12) {
    case 0: {
      Resolved event;
      for (int i = input.byte() % 12; i > 0; --i) event.addresses.push_back(input.text());
      return event;
    }
    case 1:
      return ResolveFailed{input.text()};
    case 2:
      return Connected{};
    case 3:
      return ConnectFailed{static_cast<ConnectFailed::Kind>(input.byte() % 4), input.text()};
    case 4:
      return Received{input.text()};
    case 5:
      return Closed{(input.byte() & 1U) != 0};
    case 6:
      return TlsBytes{static_cast<std::uint64_t>(input.byte()) << (input.byte() % 40)};
    case 7:
      return TlsDone{facts_from(input)};
    case 8: {
      TlsFailed event;
      event.kind = static_cast<TlsFailed::Kind>(input.byte() % 4);
      event.alert = input.byte();
      event.reason = input.text();
      event.first_bytes = input.text();
      event.facts = facts_from(input);
      return event;
    }
    case 9:
      return LateAlert{input.byte()};
    case 10:
      return LateEnd{};
    default:
      return Tick{};
  }
}

void require(bool condition) {
  if (!condition) std::abort();
}

bool is_printable(std::string_view text) {
  for (const char c : text) {
    if (static_cast<unsigned char>(c) < ' ' || c == '\x7f') return false;
  }
  return true;
}

}  // namespace

// NOLINTNEXTLINE(readability-identifier-naming): libFuzzer's name
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  Input input(data, size);
  ProbeTarget target;
  const std::uint8_t flags = input.byte();
  target.host = (flags & 1U) != 0 ? "leo.example" : input.text();
  target.port = 5432;
  target.negotiation = (flags & 2U) != 0 ? Negotiation::direct : Negotiation::postgres;
  target.sni = (flags & 4U) != 0;
  target.limit = milliseconds(input.byte() * 40);
  target.control_name = "nobody.invalid";
  if ((flags & 8U) != 0) target.own_problem = input.text();

  const Instant begun{seconds(1)};
  Instant now = begun;
  ProbeMachine machine(target);
  machine.start(now);
  int connects = 0;
  const auto step = [&](const Event& event) {
    const ProbeAction action = machine.step(event, now);
    if (action.kind == ProbeAction::Kind::connect) ++connects;
    require((action.kind == ProbeAction::Kind::finish) == machine.finished());
    require(machine.finished() || machine.deadline() <= begun + target.limit);
  };
  while (!input.empty() && !machine.finished()) {
    now += milliseconds(input.byte());
    step(event_from(input));
  }
  for (int i = 0; i < 40 && !machine.finished(); ++i) {
    now = std::max(now, machine.deadline());
    step(Tick{});
  }
  require(machine.finished() && connects <= 20);
  const ProbeResult& result = machine.result();
  require((result.stage == ProbeStage::done) == (result.diagnosis == Diagnosis::ok));
  require(is_printable(result.detail) && result.chain.size() <= kMaxChain);
  require(!result.steps.empty() && result.steps.size() <= 12);
  for (const ProbeStep& one : result.steps) require(is_printable(one.detail));
  return 0;
}
