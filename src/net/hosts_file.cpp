#include "pgfed/net/hosts_file.hpp"

namespace pgfed::net {

namespace {

bool is_blank(char c) { return c == ' ' || c == '\t' || c == '\r'; }

/// The fields of one line.
std::vector<std::string> fields_of(std::string_view line) {
  std::vector<std::string> fields;
  std::string field;
  bool begun = false;
  bool quoted = false;
  bool after_comma = false;
  for (const char c : line) {
    if (c == '"') {
      quoted = !quoted;
      begun = true;
    } else if (!quoted && c == '#') {
      break;
    } else if (!quoted && is_blank(c)) {
      // A list goes on after a comma and blanks.
      if (begun && !after_comma) {
        fields.push_back(field);
        field.clear();
        begun = false;
      }
    } else {
      after_comma = !quoted && c == ',';
      field += c;
      begun = true;
    }
  }
  if (begun) fields.push_back(field);
  return fields;
}

}  // namespace

std::vector<HostsLine> parse_hosts_file(std::string_view text) {
  constexpr std::size_t kLeastFields = 3;
  std::vector<HostsLine> lines;
  std::size_t number = 0;
  while (!text.empty()) {
    const std::size_t first = ++number;
    std::string line;
    for (;; ++number) {
      const std::size_t end = text.find('\n');
      line += text.substr(0, end);
      text = end == std::string_view::npos ? std::string_view{} : text.substr(end + 1);
      if (!line.ends_with('\\') || text.empty()) break;
      line.pop_back();
    }
    std::vector<std::string> fields = fields_of(line);
    if (fields.size() < kLeastFields) continue;
    lines.push_back({.number = first,
                     .hosts = fields[0],
                     .certificate = fields[1],
                     .key = fields[2],
                     .ca = fields.size() > kLeastFields ? fields[kLeastFields] : std::string()});
  }
  return lines;
}

}  // namespace pgfed::net
