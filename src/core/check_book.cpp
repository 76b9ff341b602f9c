#include "pgfed/core/check_book.hpp"

#include <algorithm>
#include <string>

namespace pgfed::core {

namespace {

Severity severity_of(Status status) {
  if (status == Status::critical) return Severity::critical;
  return status == Status::warning ? Severity::warning : Severity::info;
}

bool before(const CheckRow& a, const CheckRow& b) {
  if (a.node.view() != b.node.view()) return a.node.view() < b.node.view();
  return a.name.view() < b.name.view();
}

}  // namespace

void CheckBook::write(const char* name, const Name& node, Status status, std::string_view detail,
                      std::string_view hint) {
  CheckRow row;
  row.node = node;
  row.name = name;
  row.status = status;
  if (status != Status::ok) {
    row.detail = detail;
    row.hint = hint;
  }
  next_.push_back(row);
}

std::span<const CheckRow> CheckBook::about(const Name& node) const {
  const auto first = std::lower_bound(
      rows_.begin(), rows_.end(), node,
      [](const CheckRow& row, const Name& wanted) { return row.node.view() < wanted.view(); });
  auto last = first;
  while (last != rows_.end() && last->node == node) ++last;
  return {first, last};
}

bool CheckBook::end(Instant now, Actions& actions) {
  bool changed = next_.size() != rows_.size();
  std::sort(next_.begin(), next_.end(), before);
  auto old = rows_.begin();
  for (CheckRow& row : next_) {
    while (old != rows_.end() && before(*old, row)) ++old;
    const bool known = old != rows_.end() && !before(row, *old);
    const Status was = known ? old->status : Status::ok;
    changed = changed || !known || was != row.status;
    row.since = known && was == row.status ? old->since : now;
    // A node's state, the number of primaries, quarantine, an endpoint's TLS and a certificate's
    // validity have events of their own.
    const bool told_otherwise = row.name == check::kPeer || row.name == check::kReplication ||
                                row.name == check::kIdentity || row.name == check::kPrimary ||
                                row.name == check::kTls || row.name == check::kCertificate ||
                                row.status == Status::unknown || was == Status::unknown;
    if (row.status != was && !told_otherwise) {
      std::string detail =
          row.name.str() + ": " + std::string(word(was)) + " to " + std::string(word(row.status));
      if (!row.detail.empty()) detail += ": " + row.detail.str();
      actions.emplace_back(Record{severity_of(row.status), "check", row.node, detail});
    }
  }
  rows_.swap(next_);
  return changed;
}

}  // namespace pgfed::core
