#pragma once

#include <string>
#include <vector>

#include "pgfed/core/node.hpp"
#include "pgfed/core/result.hpp"
#include "pgfed/net/conninfo.hpp"

/// With which parameters libpq is called for a node.
namespace pgfed::net {

/// Everything but the addresses: pgfed's defaults, over them the node's options, over them
/// pgfed.conninfo, over them what pgfed insists on. `hostaddr` is there only if the node's options
/// name it. Error 22023 where the options cannot be parsed or this libpq lacks a parameter that
/// somebody named: `libpq 15 does not know "sslnegotiation"`.
core::Result<Keywords> dial_keywords(const core::NodeSpec& node, const Keywords& conninfo,
                                     const std::string& default_database);

/// Sets host, hostaddr and port so that libpq tries these numeric addresses in turn; `addresses` is
/// not empty.
void set_addresses(Keywords& keywords, const core::NodeSpec& node,
                   const std::vector<std::string>& addresses);

}  // namespace pgfed::net
