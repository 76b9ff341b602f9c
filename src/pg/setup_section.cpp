#include "pgfed/pg/setup_section.hpp"

#include "pgfed/pg/shared_state.hpp"

namespace pgfed::pg {
namespace {

static_assert(std::is_trivially_copyable_v<core::Problem>);

/// Under the lock.
bool differs(const SetupSection* section, std::span<const core::Problem> problems) {
  if (section->generation == 0 || section->count != problems.size()) return true;
  return !std::equal(problems.begin(), problems.end(), section->problems);
}

}  // namespace

bool publish_setup(std::span<const core::Problem> problems) {
  SetupSection* section = shared.setup;
  problems = problems.first(std::min(problems.size(), core::kMaxProblems));
  LWLockAcquire(section_lock(Section::setup), LW_EXCLUSIVE);
  const bool news = differs(section, problems);
  if (news) {
    memcpy(static_cast<void*>(section->problems), problems.data(),
           problems.size() * sizeof(core::Problem));
    section->count = static_cast<std::uint32_t>(problems.size());
    ++section->generation;
  }
  LWLockRelease(section_lock(Section::setup));
  return news;
}

bool take_setup(TakenSetup& taken, core::Problem* problems) {
  const SetupSection* section = shared.setup;
  LWLockAcquire(section_lock(Section::setup), LW_SHARED);
  const bool news = section->generation != taken.generation;
  if (news) {
    taken.generation = section->generation;
    taken.count = section->count;
    memcpy(static_cast<void*>(problems), section->problems, section->count * sizeof(core::Problem));
  }
  LWLockRelease(section_lock(Section::setup));
  return news;
}

}  // namespace pgfed::pg
