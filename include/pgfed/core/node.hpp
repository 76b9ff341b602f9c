#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "pgfed/core/result.hpp"
#include "pgfed/core/text.hpp"

namespace pgfed::core {

/// One row of pgfed.nodes: who a node is and where it is reached. Standard layout: the catalog
/// worker hands it to the federation worker through shared memory.
struct NodeSpec {
  Name name;
  HostText host;  ///< one DNS name or IP address
  std::uint16_t port = 5432;
  SiteText site;
  Name upstream;        ///< empty: the primary, whichever it is
  OptionsText options;  ///< libpq keywords of the endpoint, as written

  bool operator==(const NodeSpec&) const = default;
};

/// The same as a user wrote it, before anything of it has been looked at.
struct NodeInput {
  std::string name;
  std::string host;
  std::int64_t port = 5432;
  std::string site = "default";
  std::string upstream;
  std::string options;
  /// `options` as libpq parsed them; filled by the caller, since parsing conninfo is libpq's trade.
  std::vector<std::pair<std::string, std::string>> parsed_options;
};

/// A row as one would type it. Its options are not parsed; where a node is dialled,
/// net::dial_keywords() does that and checks them.
NodeInput as_typed(const NodeSpec& node);

/// Starts with a lower-case letter, then lower-case letters, digits, '_' and '-'; at most 50.
Outcome check_name(std::string_view name);
/// One DNS name or IP address: no comma, no leading '/' or '@', no blank, at most 255 bytes.
Outcome check_host(std::string_view host);
/// 1 to 65535.
Outcome check_port(std::int64_t port);
/// 1 to 63 bytes, printable.
Outcome check_site(std::string_view site);
/// Whether a node's options may name this keyword at all.
bool is_endpoint_option(std::string_view keyword);
/// Only keywords of the endpoint: hostaddr, sslnegotiation, sslsni, keepalives, keepalives_idle,
/// keepalives_interval, keepalives_count, tcp_user_timeout. Values of credentials are never repeated.
Outcome check_options(const std::vector<std::pair<std::string, std::string>>& options);
/// All of the above, in the order of the columns.
Result<NodeSpec> check_node(const NodeInput& input);

/// The name of the physical slot a node streams through: `pgfed_` and the name with '-' as '_'.
std::string slot_name(std::string_view node);

}  // namespace pgfed::core
