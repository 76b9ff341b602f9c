// Plays many runs of a federation over a network and a clock that are simulated, each from a seed.
//
//   pgfed_sim --seeds 2000          seeds 1 to 2000
//   pgfed_sim --seed 17 --verbose   one seed, with everything that happened

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <string>

#include "sim/world.hpp"

namespace {

using pgfed::sim::Tally;
using pgfed::sim::World;

struct Run {
  std::string fault;  ///< empty: all is well
  std::uint64_t hash = 0;
  Tally tally;
};

Run play(std::uint64_t seed, bool verbose) {
  World world(seed, verbose);
  Run run;
  try {
    world.run();
  } catch (const std::exception& exception) {
    run.fault = exception.what();
  }
  run.hash = world.trace().hash();
  run.tally = world.tally();
  return run;
}

/// One run in fifty is played twice: it must be the same.
constexpr std::uint64_t kReplayed = 50;

bool check_seed(std::uint64_t seed, Tally& sum) {
  const Run run = play(seed, false);
  sum.steps += run.tally.steps;
  sum.rows += run.tally.rows;
  sum.links += run.tally.links;
  sum.duplicates_seen += run.tally.duplicates_seen;
  if (!run.fault.empty()) {
    std::printf("seed %llu: %s\n", static_cast<unsigned long long>(seed), run.fault.c_str());
    return false;
  }
  if (seed % kReplayed == 0 && play(seed, false).hash != run.hash) {
    std::printf("seed %llu: two runs of it differ\n", static_cast<unsigned long long>(seed));
    return false;
  }
  return true;
}

int play_one(std::uint64_t seed) {
  const Run run = play(seed, true);
  const Run again = play(seed, false);
  std::printf("seed %llu: %s, trace %016llx\n", static_cast<unsigned long long>(seed),
              run.fault.empty() ? "ok" : run.fault.c_str(),
              static_cast<unsigned long long>(run.hash));
  if (again.hash != run.hash) std::printf("a second run of it differs\n");
  return run.fault.empty() && again.hash == run.hash ? EXIT_SUCCESS : EXIT_FAILURE;
}

int play_many(std::uint64_t first, std::uint64_t count, bool verbose) {
  const auto began = std::chrono::steady_clock::now();
  Tally sum;
  std::uint64_t failed = 0;
  for (std::uint64_t seed = first; seed < first + count; ++seed) {
    if (verbose) std::printf("seed %llu\n", static_cast<unsigned long long>(seed));
    if (!check_seed(seed, sum)) ++failed;
  }
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - began;
  const auto number = [](std::uint64_t value) { return static_cast<unsigned long long>(value); };
  std::printf(
      "%llu seeds, %llu failed: %llu steps, %llu rows and %llu links compared with the truth, "
      "%llu duplicates seen, %.1f s\n",
      number(count), number(failed), number(sum.steps), number(sum.rows), number(sum.links),
      number(sum.duplicates_seen), took.count());
  if (failed > 0) std::printf("to see one: pgfed_sim --seed N\n");
  return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

int usage() {
  std::fprintf(stderr,
               "usage: pgfed_sim [--seeds N] [--first S] [--verbose] | --seed S\n"
               "  --seeds N   plays N seeds (default 200)\n"
               "  --first S   begins with seed S (default 1)\n"
               "  --seed S    plays that one and prints what happens in it\n"
               "  --verbose   prints each seed before it is played\n");
  return 2;
}

}  // namespace

int main(int argc, char** argv) {
  std::uint64_t count = 200;
  std::uint64_t first = 1;
  std::uint64_t one = 0;
  bool single = false;
  bool verbose = false;
  for (int i = 1; i < argc; ++i) {
    const std::string option = argv[i];
    if (option == "--verbose") {
      verbose = true;
      continue;
    }
    if (i + 1 == argc) return usage();
    char* end = nullptr;
    const std::uint64_t value = std::strtoull(argv[++i], &end, 10);
    if (*end != '\0') return usage();
    if (option == "--seeds") {
      count = value;
    } else if (option == "--first") {
      first = value;
    } else if (option == "--seed") {
      one = value;
      single = true;
    } else {
      return usage();
    }
  }
  return single ? play_one(one) : play_many(first, count, verbose);
}
