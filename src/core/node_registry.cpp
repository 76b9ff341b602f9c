#include "pgfed/core/node_registry.hpp"

#include <algorithm>
#include <string>

namespace pgfed::core {
namespace {

bool by_name(const NodeSpec& left, const NodeSpec& right) {
  return left.name.view() < right.name.view();
}

Error unknown_node(std::string_view name) {
  return {sqlstate::kUndefinedObject, "node " + in_quotes(name) + " does not exist", "",
          "The nodes are listed by: SELECT name FROM pgfed.nodes."};
}

}  // namespace

void NodeRegistry::assign(std::vector<NodeSpec> nodes) {
  std::sort(nodes.begin(), nodes.end(), by_name);
  nodes_.clear();
  left_out_ = 0;
  std::vector<std::string> slots;  // of nodes_; a restored table may hold what add() refuses
  for (const NodeSpec& node : nodes) {
    const std::string slot = slot_name(node.name.view());
    const bool collides = std::find(slots.begin(), slots.end(), slot) != slots.end();
    if (nodes_.size() >= max_nodes_ || collides || !check_node(as_typed(node))) {
      ++left_out_;
      continue;
    }
    nodes_.push_back(node);
    slots.push_back(slot);
  }
}

const NodeSpec* NodeRegistry::find(std::string_view name) const {
  const auto found = std::lower_bound(
      nodes_.begin(), nodes_.end(), name,
      [](const NodeSpec& node, std::string_view wanted) { return node.name.view() < wanted; });
  return found != nodes_.end() && found->name == name ? &*found : nullptr;
}

Result<NodeSpec> NodeRegistry::add(const NodeInput& input) const {
  Result<NodeSpec> checked = check_node(input);
  if (!checked) return checked;
  const NodeSpec& node = checked.value();

  if (find(node.name.view()) != nullptr) {
    return Error{sqlstate::kDuplicateObject,
                 "node " + in_quotes(node.name.view()) + " already exists", "",
                 "Use pgfed.set_node() to change it."};
  }
  const std::string slot = slot_name(node.name.view());
  for (const NodeSpec& other : nodes_) {
    if (slot_name(other.name.view()) != slot) continue;
    return Error{
        sqlstate::kDuplicateObject,
        "node " + in_quotes(node.name.view()) + " would share a replication slot with node " +
            in_quotes(other.name.view()),
        "The slot of both would be " + in_quotes(slot) + ", since \"-\" becomes \"_\" in it.",
        "Choose a name that differs in more than \"-\" and \"_\"."};
  }
  if (Outcome upstream = check_upstream(node); !upstream) return upstream.error();
  if (nodes_.size() >= max_nodes_) {
    return Error{sqlstate::kProgramLimitExceeded, "too many nodes",
                 "The setting pgfed.max_nodes allows " + std::to_string(max_nodes_) + ".",
                 "Set pgfed.max_nodes higher in postgresql.conf of every node, the standbys "
                 "included, and restart them."};
  }
  return checked;
}

Result<NodeSpec> NodeRegistry::change(const NodeInput& input) const {
  if (find(input.name) == nullptr) return unknown_node(input.name);
  Result<NodeSpec> checked = check_node(input);
  if (!checked) return checked;
  if (Outcome upstream = check_upstream(checked.value()); !upstream) return upstream.error();
  return checked;
}

Outcome NodeRegistry::remove(std::string_view name) const {
  if (find(name) == nullptr) return unknown_node(name);
  std::string dependents;
  std::string first;
  std::size_t count = 0;
  for (const NodeSpec& node : nodes_) {
    if (node.upstream != name || node.name == name) continue;
    if (first.empty()) first = node.name.str();
    if (++count <= 5) dependents += (dependents.empty() ? "" : ", ") + node.name.str();
  }
  if (count == 0) return Done{};
  if (count > 5) dependents += " and " + std::to_string(count - 5) + " more";
  return Error{sqlstate::kObjectInUse,
               "node " + in_quotes(name) + " is the upstream of other nodes",
               "It is the upstream of: " + dependents + ".",
               "Give them another upstream first, for example: SELECT pgfed.set_node('" + first +
                   "', upstream => '')."};
}

/// `node` as it would stand in the table: its upstream exists and the chain of upstreams that
/// starts there does not come back to it. The walk is bounded, because a restored table may hold a
/// cycle that was there before; that one is not this node's fault unless it is part of it.
Outcome NodeRegistry::check_upstream(const NodeSpec& node) const {
  if (node.upstream.empty()) return Done{};
  if (node.upstream == node.name) {
    return Error{sqlstate::kInvalidParameterValue,
                 "node " + in_quotes(node.name.view()) + " cannot be its own upstream", "",
                 "Leave \"upstream\" empty for a node that follows the primary."};
  }
  const NodeSpec* next = find(node.upstream.view());
  if (next == nullptr) {
    return Error{sqlstate::kUndefinedObject,
                 "upstream " + in_quotes(node.upstream.view()) + " does not exist", "",
                 "Add it first with pgfed.add_node(), or leave \"upstream\" empty for a node that "
                 "follows the primary."};
  }
  constexpr std::size_t kShownSteps = 8;
  std::string path = node.name.str();
  for (std::size_t steps = 0; next != nullptr && steps < nodes_.size(); ++steps) {
    if (steps < kShownSteps) path += " -> " + next->name.str();
    if (steps == kShownSteps) path += " -> ...";
    if (next->upstream.empty()) return Done{};
    if (next->upstream == node.name) {
      return Error{sqlstate::kInvalidParameterValue,
                   "upstream " + in_quotes(node.upstream.view()) + " of node " +
                       in_quotes(node.name.view()) + " would close a cycle",
                   "The chain of upstreams would be " + path + " -> " + node.name.str() + ".",
                   "Choose an upstream that does not itself follow this node."};
    }
    next = find(next->upstream.view());
  }
  return Done{};
}

}  // namespace pgfed::core
