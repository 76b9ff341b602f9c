// pgfed.tls, pgfed.certificates and certificate_names(): what the endpoints serve, what lies on the
// nodes' disks, and what a certificate for all of them has to name.

#include "pgfed/core/address.hpp"
#include "pgfed/net/conninfo.hpp"
#include "pgfed/pg/boundary.hpp"
#include "pgfed/pg/entry.hpp"
#include "pgfed/pg/preconditions.hpp"
#include "pgfed/pg/row.hpp"
#include "pgfed/pg/shared_copy.hpp"

namespace pgfed::pg {
namespace {

// ---- pgfed.tls -------------------------------------------------------------------------------

/// 0 or 1; NULL for -1, and where nothing is to be believed.
void add_answer(Row& row, std::int8_t answer, bool believed) {
  if (answer < 0 || !believed) {
    row.add_null();
  } else {
    row.add_bool(answer != 0);
  }
}

void add_tls_row(FunctionCallInfo fcinfo, const core::TlsRow& entry, const Clocks& clocks,
                 std::int64_t silence) {
  Row row;
  row.add_text(entry.node.view());
  row.add_text_or_null(entry.host);
  row.add_int(entry.port);
  row.add_word(entry.negotiation);
  row.add_text_or_null(entry.protocol);
  row.add_text_or_null(entry.cipher);
  add_answer(row, entry.chain_ok, silence <= 0);
  add_answer(row, entry.host_match, silence <= 0);
  if (entry.client_certificate == core::ClientCertificate::unknown) {
    row.add_null();
  } else {
    row.add_word(entry.client_certificate);
  }
  if (entry.stage == core::ProbeStage::none) {
    row.add_null();
  } else {
    row.add_word(entry.stage);
  }
  row.add_word(silence > 0 ? core::Diagnosis::unknown : entry.diagnosis);
  row.add_word(silence > 0 ? core::Status::unknown : entry.status);
  row.add_text_or_null(silence > 0 ? silence_text(silence) : entry.detail);
  row.add_instant(entry.checked_at, clocks);
  row.store(fcinfo);
}

// ---- pgfed.certificates ----------------------------------------------------------------------

/// An array of the words of a text with a blank between two; {} for none.
Datum words_datum(std::string_view text) {
  const auto most = static_cast<Size>(std::count(text.begin(), text.end(), ' ')) + 1;
  auto* words = static_cast<Datum*>(palloc(most * sizeof(Datum)));
  int count = 0;
  while (!text.empty()) {
    const std::string_view word = text.substr(0, text.find(' '));
    text.remove_prefix(std::min(word.size() + 1, text.size()));
    if (!word.empty()) words[count++] = text_datum(word);
  }
  return PointerGetDatum(construct_array(words, count, TEXTOID, -1, false, TYPALIGN_INT));
}

/// In hexadecimal; NULL where it is not known.
void add_fingerprint(Row& row, const core::Fingerprint& fingerprint) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  if (!fingerprint.known()) {
    row.add_null();
    return;
  }
  char text[2 * sizeof fingerprint.bytes];
  std::size_t length = 0;
  for (const std::uint8_t byte : fingerprint.bytes) {
    text[length++] = kDigits[byte >> 4U];
    text[length++] = kDigits[byte & 0xFU];
  }
  row.add_text({text, length});
}

void add_certificate_row(FunctionCallInfo fcinfo, const core::CertificateRow& entry,
                         const Clocks& clocks, std::int64_t silence) {
  Row row;
  row.add_text(entry.node.view());
  row.add_word(entry.source);
  row.add_int(entry.depth);
  row.add_text_or_null(entry.subject);
  row.add_text_or_null(entry.issuer);
  row.add(words_datum(entry.dns_names.view()));
  row.add(words_datum(entry.ip_addresses.view()));
  row.add_text_or_null(entry.serial);
  add_fingerprint(row, entry.sha256);
  row.add_timestamp(timestamp_of(entry.not_before));
  row.add_timestamp(timestamp_of(entry.not_after));
  row.add_expiry(entry.not_after, clocks);
  row.add_text_or_null(entry.key);
  add_fingerprint(row, entry.anchor);
  row.add_text_or_null(entry.path);
  row.add_word(silence > 0 ? core::Status::unknown : entry.status);
  row.add_text_or_null(silence > 0 ? silence_text(silence) : entry.detail);
  row.store(fcinfo);
}

// ---- certificate_names() ---------------------------------------------------------------------

/// A name or an address; ordered as they are shown.
struct WantedName {
  bool is_address = false;
  core::HostText name;
};

bool operator<(const WantedName& left, const WantedName& right) {
  if (left.is_address != right.is_address) return right.is_address;
  return left.name.view() < right.name.view();
}

/// C++ regime. A zone says which interface of the one that dials, and belongs into no certificate;
/// DNS names are the same in upper and lower case.
WantedName wanted_name(std::string_view host) {
  if (core::is_ipv4(host)) return {true, host};
  if (core::is_ipv6(host)) return {true, host.substr(0, host.find('%'))};
  std::string name(host);
  for (char& c : name) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  return {false, name};
}

/// C++ regime. Writes at most two for each node; returns how many, sorted, each once.
std::size_t wanted_names(const NodesCopy& known, WantedName* names) {
  std::size_t count = 0;
  for (const core::NodeSpec& node : known.nodes) {
    names[count++] = wanted_name(node.host.view());
    const core::Result<net::Keywords> options = net::parse_conninfo(node.options.str());
    if (!options) continue;
    const std::string_view address = net::value_of(options.value(), "hostaddr");
    if (!address.empty()) names[count++] = wanted_name(address);
  }
  std::sort(names, names + count);
  const auto* end = std::unique(names, names + count, [](const auto& left, const auto& right) {
    return !(left < right) && !(right < left);
  });
  return static_cast<std::size_t>(end - names);
}

}  // namespace

PGFED_FUNCTION(pgfed_tls) {
  begin_rows(fcinfo);
  const std::int64_t silence = worker_silence();
  const Copied<core::TlsRow> endpoints = copy_tls();
  const Clocks clocks = Clocks::read();
  for (const core::TlsRow& endpoint : endpoints) add_tls_row(fcinfo, endpoint, clocks, silence);
  return Datum{0};
}

PGFED_FUNCTION(pgfed_certificates) {
  begin_rows(fcinfo);
  const std::int64_t silence = worker_silence();
  const Copied<core::CertificateRow> certificates = copy_certificates();
  const Clocks clocks = Clocks::read();
  for (const core::CertificateRow& certificate : certificates) {
    CHECK_FOR_INTERRUPTS();
    add_certificate_row(fcinfo, certificate, clocks, silence);
  }
  return Datum{0};
}

PGFED_FUNCTION(pgfed_certificate_names) {
  begin_rows(fcinfo);
  const NodesCopy known = require_nodes();
  auto* names = static_cast<WantedName*>(palloc(2 * known.nodes.count * sizeof(WantedName)));
  std::size_t count = 0;
  BoxedError error;
  run_cpp(error, [&](BoxedError&) { count = wanted_names(known, names); });
  if (error.raised) raise_boxed(error);
  for (std::size_t i = 0; i < count; ++i) {
    Row row;
    row.add_text(names[i].is_address ? "IP" : "DNS");
    row.add_text(names[i].name.view());
    row.store(fcinfo);
  }
  return Datum{0};
}

}  // namespace pgfed::pg
