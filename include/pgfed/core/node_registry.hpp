#pragma once

#include <cstddef>
#include <string_view>
#include <vector>

#include "pgfed/core/node.hpp"
#include "pgfed/core/result.hpp"

namespace pgfed::core {

/// The nodes of the federation, and what may be done to their table. Pure: the SQL functions read
/// the table under a lock, ask here, and write what they are told.
class NodeRegistry {
 public:
  explicit NodeRegistry(std::size_t max_nodes) : max_nodes_(max_nodes) {}

  /// Takes the table as it is, rows in any order; keeps them sorted by name. Rows that fail
  /// check_node, or that are more than max_nodes, are left out and counted: a restored table is not
  /// trusted more than a typed one.
  void assign(std::vector<NodeSpec> nodes);
  [[nodiscard]] const std::vector<NodeSpec>& nodes() const { return nodes_; }
  [[nodiscard]] const NodeSpec* find(std::string_view name) const;
  [[nodiscard]] std::size_t left_out() const { return left_out_; }

  /// What add_node would write. Errors: 42602 name, 22023 other values, 42710 duplicate name or
  /// slot, 42704 unknown upstream, 22023 own upstream or a cycle, 54000 more than max_nodes.
  [[nodiscard]] Result<NodeSpec> add(const NodeInput& input) const;
  /// What set_node would write; `input.name` must exist (42704).
  [[nodiscard]] Result<NodeSpec> change(const NodeInput& input) const;
  /// Whether the node may go: 42704 unknown, 55006 while others name it as their upstream.
  [[nodiscard]] Outcome remove(std::string_view name) const;

 private:
  [[nodiscard]] Outcome check_upstream(const NodeSpec& node) const;

  std::size_t max_nodes_;
  std::vector<NodeSpec> nodes_;
  std::size_t left_out_ = 0;
};

}  // namespace pgfed::core
