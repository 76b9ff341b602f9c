#include "pgfed/core/node_registry.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <string>

namespace pgfed::core {
namespace {

NodeSpec row(std::string_view name, std::string_view upstream = "") {
  NodeSpec node;
  node.name = name;
  node.host = "127.0.0.2";
  node.site = "default";
  node.upstream = upstream;
  return node;
}

NodeInput input(std::string name, std::string upstream = "") {
  NodeInput typed;
  typed.name = std::move(name);
  typed.host = "127.0.0.2";
  typed.upstream = std::move(upstream);
  return typed;
}

NodeRegistry registry(std::vector<NodeSpec> nodes, std::size_t max_nodes = 32) {
  NodeRegistry made(max_nodes);
  made.assign(std::move(nodes));
  return made;
}

std::string names(const NodeRegistry& registry) {
  std::string list;
  for (const NodeSpec& node : registry.nodes()) list += node.name.str() + " ";
  return list;
}

template <typename T>
std::string code(const Result<T>& result) {
  if (result.ok()) return "ok";
  EXPECT_FALSE(result.error().message.empty());
  EXPECT_FALSE(result.error().detail.empty() && result.error().hint.empty())
      << result.error().message;
  for (const std::string& sentence : {result.error().detail, result.error().hint}) {
    EXPECT_TRUE(sentence.empty() || sentence.back() == '.') << sentence;
  }
  EXPECT_NE(result.error().message.back(), '.');
  return result.error().sqlstate;
}

// ---- assign and find -------------------------------------------------------------------------

TEST(NodeRegistryAssign, SortsByName) {
  const NodeRegistry nodes = registry({row("pit"), row("ait"), row("leo"), row("a_z"), row("a-y")});
  EXPECT_EQ(names(nodes), "a-y a_z ait leo pit ");
  EXPECT_EQ(nodes.left_out(), 0U);
}

TEST(NodeRegistryAssign, FindsEachAndOnlyThose) {
  const NodeRegistry nodes = registry({row("pit"), row("ait"), row("leo")});
  for (const char* name : {"pit", "ait", "leo"}) {
    ASSERT_NE(nodes.find(name), nullptr) << name;
    EXPECT_EQ(nodes.find(name)->name, name);
  }
  for (const char* name : {"", "a", "aitt", "le", "z", "Leo"}) EXPECT_EQ(nodes.find(name), nullptr);
  EXPECT_EQ(NodeRegistry(8).find("leo"), nullptr);
}

TEST(NodeRegistryAssign, LeavesOutRowsThatNobodyCouldHaveTyped) {
  NodeSpec bad_host = row("bad-host");
  bad_host.host = "a,b";
  NodeSpec bad_port = row("bad-port");
  bad_port.port = 0;
  NodeSpec bad_site = row("bad-site");
  bad_site.site = "";
  const NodeRegistry nodes = registry(
      {row("Leo"), row(""), bad_host, bad_port, bad_site, row("up", "Bad Name"), row("leo")});
  EXPECT_EQ(names(nodes), "leo ");
  EXPECT_EQ(nodes.left_out(), 6U);
}

TEST(NodeRegistryAssign, LeavesOutTwinsAndSharedSlots) {
  const NodeRegistry nodes =
      registry({row("a_b"), row("a-b"), row("leo"), row("leo"), row("a-b-c"), row("a_b-c")});
  EXPECT_EQ(names(nodes), "a-b a-b-c leo ");
  EXPECT_EQ(nodes.left_out(), 3U);
}

TEST(NodeRegistryAssign, KeepsTheSameRowsEverywhereWhenThereAreTooMany) {
  std::vector<NodeSpec> rows;
  for (char c = 'a'; c <= 'z'; ++c) rows.push_back(row(std::string{'n', c}));
  const std::string expected = names(registry(rows, 5));
  EXPECT_EQ(expected, "na nb nc nd ne ");
  std::mt19937 random(5);  // NOLINT(cert-msc51-cpp): repeatable on purpose
  for (int round = 0; round < 50; ++round) {
    std::shuffle(rows.begin(), rows.end(), random);
    const NodeRegistry nodes = registry(rows, 5);
    ASSERT_EQ(names(nodes), expected);
    ASSERT_EQ(nodes.left_out(), 21U);
  }
}

TEST(NodeRegistryAssign, ForgetsWhatWasThere) {
  NodeRegistry nodes = registry({row("leo"), row("Bad")});
  nodes.assign({row("ait")});
  EXPECT_EQ(names(nodes), "ait ");
  EXPECT_EQ(nodes.left_out(), 0U);
  nodes.assign({});
  EXPECT_TRUE(nodes.nodes().empty());
}

// ---- add -------------------------------------------------------------------------------------

TEST(NodeRegistryAdd, ReturnsTheRow) {
  const NodeRegistry nodes = registry({row("leo")});
  const Result<NodeSpec> added = nodes.add(input("ait", "leo"));
  ASSERT_TRUE(added.ok());
  EXPECT_EQ(added.value().name, "ait");
  EXPECT_EQ(added.value().upstream, "leo");
  EXPECT_EQ(names(nodes), "leo ");  // the table is not ours to write
}

TEST(NodeRegistryAdd, ChecksTheRow) {
  const NodeRegistry nodes = registry({});
  EXPECT_EQ(code(nodes.add(input("Leo"))), "42602");
  EXPECT_EQ(code(nodes.add(input(""))), "42602");
  NodeInput bad_port = input("leo");
  bad_port.port = 65536;
  EXPECT_EQ(code(nodes.add(bad_port)), "22023");
  NodeInput secret = input("leo");
  secret.parsed_options = {{"password", "hunter2"}};
  EXPECT_EQ(code(nodes.add(secret)), "22023");
}

TEST(NodeRegistryAdd, RefusesADuplicate) {
  const NodeRegistry nodes = registry({row("leo")});
  const Result<NodeSpec> twice = nodes.add(input("leo"));
  EXPECT_EQ(code(twice), "42710");
  EXPECT_EQ(twice.error().message, "node \"leo\" already exists");
  EXPECT_EQ(twice.error().hint, "Use pgfed.set_node() to change it.");
}

TEST(NodeRegistryAdd, RefusesTwoNamesWithOneSlot) {
  const NodeRegistry nodes = registry({row("a-b_c")});
  for (const char* name : {"a_b_c", "a-b-c", "a_b-c"}) {
    const Result<NodeSpec> shared = nodes.add(input(name));
    EXPECT_EQ(code(shared), "42710") << name;
    EXPECT_NE(shared.error().detail.find("pgfed_a_b_c"), std::string::npos);
  }
  EXPECT_EQ(code(nodes.add(input("a-b"))), "ok");
  EXPECT_EQ(code(nodes.add(input("ab-c"))), "ok");
}

TEST(NodeRegistryAdd, RefusesABadUpstream) {
  const NodeRegistry nodes = registry({row("leo")});
  EXPECT_EQ(code(nodes.add(input("ait", "nobody"))), "42704");
  EXPECT_EQ(code(nodes.add(input("ait", "ait"))), "22023");
  EXPECT_EQ(code(nodes.add(input("ait", "Leo"))), "42602");
  EXPECT_EQ(code(nodes.add(input("ait", "leo"))), "ok");
}

TEST(NodeRegistryAdd, RefusesToCloseACycleThroughADanglingUpstream) {
  // A restored table may name an upstream that is not there; adding that one may close a cycle.
  const NodeRegistry nodes = registry({row("a", "b"), row("c", "a")});
  EXPECT_EQ(code(nodes.add(input("b"))), "ok");
  EXPECT_EQ(code(nodes.add(input("b", "a"))), "22023");
  EXPECT_EQ(code(nodes.add(input("b", "c"))), "22023");
}

TEST(NodeRegistryAdd, RefusesMoreThanMaxNodes) {
  const NodeRegistry nodes = registry({row("leo"), row("ait")}, 2);
  const Result<NodeSpec> third = nodes.add(input("pit"));
  EXPECT_EQ(code(third), "54000");
  EXPECT_NE(third.error().detail.find("allows 2"), std::string::npos);
  EXPECT_EQ(code(nodes.add(input("leo"))), "42710");
  EXPECT_EQ(code(registry({row("leo"), row("ait")}, 3).add(input("pit"))), "ok");
}

// ---- change ----------------------------------------------------------------------------------

TEST(NodeRegistryChange, NeedsAnExistingNode) {
  const NodeRegistry nodes = registry({row("leo"), row("ait")});
  EXPECT_EQ(code(nodes.change(input("pit"))), "42704");
  EXPECT_EQ(code(nodes.change(input("Not A Name"))), "42704");
  EXPECT_EQ(code(nodes.change(input("leo"))), "ok");
  NodeInput moved = input("leo");
  moved.host = "192.0.2.7";
  moved.port = 5433;
  const Result<NodeSpec> changed = nodes.change(moved);
  ASSERT_TRUE(changed.ok());
  EXPECT_EQ(changed.value().host, "192.0.2.7");
  EXPECT_EQ(changed.value().port, 5433);
}

TEST(NodeRegistryChange, ChecksTheRow) {
  const NodeRegistry nodes = registry({row("leo")});
  NodeInput bad = input("leo");
  bad.host = "/tmp";
  EXPECT_EQ(code(nodes.change(bad)), "22023");
}

TEST(NodeRegistryChange, WorksWithAFullTable) {
  EXPECT_EQ(code(registry({row("leo"), row("ait")}, 2).change(input("leo", "ait"))), "ok");
}

TEST(NodeRegistryChange, RefusesEveryCycle) {
  const NodeRegistry nodes =
      registry({row("a"), row("b", "a"), row("c", "b"), row("d", "c"), row("e")});
  EXPECT_EQ(code(nodes.change(input("a", "a"))), "22023");
  EXPECT_EQ(code(nodes.change(input("a", "b"))), "22023");
  EXPECT_EQ(code(nodes.change(input("a", "c"))), "22023");
  EXPECT_EQ(code(nodes.change(input("a", "d"))), "22023");
  EXPECT_EQ(code(nodes.change(input("b", "d"))), "22023");
  EXPECT_EQ(code(nodes.change(input("a", "e"))), "ok");
  EXPECT_EQ(code(nodes.change(input("e", "d"))), "ok");
  EXPECT_EQ(code(nodes.change(input("d", "a"))), "ok");
  EXPECT_EQ(code(nodes.change(input("d", ""))), "ok");
  EXPECT_EQ(code(nodes.change(input("d", "nobody"))), "42704");
  EXPECT_EQ(nodes.change(input("a", "c")).error().detail,
            "The chain of upstreams would be a -> c -> b -> a.");
}

TEST(NodeRegistryChange, EndsWhenTheTableAlreadyHoldsACycle) {
  const NodeRegistry nodes = registry({row("a", "b"), row("b", "a"), row("c"), row("d", "d")});
  EXPECT_EQ(code(nodes.change(input("c", "a"))), "ok");  // not c's fault
  EXPECT_EQ(code(nodes.change(input("c", "d"))), "ok");
  EXPECT_EQ(code(nodes.change(input("a", "b"))), "22023");
  EXPECT_EQ(code(nodes.change(input("a", "c"))), "ok");  // the way out
  EXPECT_EQ(code(nodes.change(input("a", ""))), "ok");
}

TEST(NodeRegistryChange, ShortensALongChainInItsDetail) {
  std::vector<NodeSpec> rows = {row("n000")};
  std::string last = "n000";
  for (int i = 1; i < 200; ++i) {
    std::string name = std::to_string(i);
    name.insert(0, 3 - name.size(), '0');
    name.insert(0, 1, 'n');
    rows.push_back(row(name, last));
    last = name;
  }
  const Result<NodeSpec> changed = registry(rows, 256).change(input("n000", last));
  EXPECT_EQ(code(changed), "22023");
  EXPECT_LT(changed.error().detail.size(), 200U);
}

TEST(NodeRegistryChange, AgreesWithABruteForceSearchForCycles) {
  std::mt19937 random(11);  // NOLINT(cert-msc51-cpp): repeatable on purpose
  for (int round = 0; round < 3000; ++round) {
    const int count = 2 + static_cast<int>(random() % 6);
    const auto name = [](int i) { return std::string{'n', static_cast<char>('a' + i)}; };
    std::vector<int> upstream(static_cast<std::size_t>(count), -1);
    std::vector<NodeSpec> rows;
    for (int i = 0; i < count; ++i) {  // a forest: upstreams point to lower numbers
      if (i > 0 && random() % 3 != 0)
        upstream[static_cast<std::size_t>(i)] =
            static_cast<int>(random() % static_cast<unsigned>(i));
      const int up = upstream[static_cast<std::size_t>(i)];
      rows.push_back(row(name(i), up < 0 ? "" : name(up)));
    }
    const int node = static_cast<int>(random() % static_cast<unsigned>(count));
    const int wanted = static_cast<int>(random() % static_cast<unsigned>(count));
    bool cycle = false;
    for (int at = wanted; at >= 0; at = upstream[static_cast<std::size_t>(at)]) {
      cycle = cycle || at == node;
    }
    ASSERT_EQ(code(registry(rows).change(input(name(node), name(wanted)))), cycle ? "22023" : "ok");
  }
}

// ---- remove ----------------------------------------------------------------------------------

TEST(NodeRegistryRemove, NeedsAnExistingNodeThatNobodyFollows) {
  const NodeRegistry nodes = registry({row("a"), row("b", "a"), row("c", "a"), row("d", "c")});
  EXPECT_EQ(code(nodes.remove("x")), "42704");
  EXPECT_EQ(code(nodes.remove("")), "42704");
  EXPECT_EQ(code(nodes.remove("b")), "ok");
  EXPECT_EQ(code(nodes.remove("d")), "ok");
  EXPECT_EQ(code(nodes.remove("c")), "55006");
  const Outcome used = nodes.remove("a");
  EXPECT_EQ(code(used), "55006");
  EXPECT_EQ(used.error().message, "node \"a\" is the upstream of other nodes");
  EXPECT_EQ(used.error().detail, "It is the upstream of: b, c.");
  EXPECT_NE(used.error().hint.find("pgfed.set_node('b', upstream => '')"), std::string::npos);
}

TEST(NodeRegistryRemove, LetsANodeGoThatFollowsItself) {
  EXPECT_EQ(code(registry({row("a", "a")}).remove("a")), "ok");
}

TEST(NodeRegistryRemove, ShortensALongList) {
  std::vector<NodeSpec> rows = {row("z")};
  for (char c = 'a'; c < 'k'; ++c) rows.push_back(row(std::string{c}, "z"));
  EXPECT_EQ(registry(rows).remove("z").error().detail,
            "It is the upstream of: a, b, c, d, e and 5 more.");
}

}  // namespace
}  // namespace pgfed::core
