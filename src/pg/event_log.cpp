#include "pgfed/pg/boundary.hpp"
#include "pgfed/pg/entry.hpp"
#include "pgfed/pg/settings.hpp"
#include "pgfed/pg/shared_state.hpp"

/// The ring of events in shared memory, its line in the server log, and its file.
namespace pgfed::pg {
namespace {

constexpr const char* kPath = PGSTAT_STAT_PERMANENT_DIRECTORY "/pgfed.events";
constexpr const char* kTemporaryPath = PGSTAT_STAT_PERMANENT_DIRECTORY "/pgfed.events.tmp";

constexpr std::uint32_t kMagic = 0x70676645;  // "pgfE"
constexpr std::uint32_t kFileVersion = 1;

struct FileHeader {
  std::uint32_t magic;
  std::uint32_t version;
  std::uint32_t entry_size;  ///< another library may have laid the entries out otherwise
  std::uint32_t count;
  std::int64_t last_id;
  pg_crc32c checksum;  ///< of the header up to here and the entries
  std::uint32_t unused;
};

/// A text as the log line shows it between double quotes, in this database's encoding.
template <std::size_t N>
struct Shown {
  char bytes[N];

  explicit Shown(const core::Text<N>& text) {
    const int encoding = GetDatabaseEncoding();
    const bool ascii = encoding != PG_UTF8 && encoding != PG_SQL_ASCII;
    char* out = bytes;
    for (const char c : text.view()) {
      const bool foreign = ascii && static_cast<unsigned char>(c) >= 0x80;
      *out++ = foreign ? '?' : c == '"' ? '\'' : c;
    }
    *out = '\0';
  }
};

/// Runs after a commit too, where an error would be a PANIC. So nothing is allocated but by ereport
/// itself, which keeps memory for this; no callback of whatever is running adds a context; and the
/// line goes to the server log only, for a client's encoding may lack its characters.
void log_event(const EventEntry& entry) {
  const Shown detail(entry.detail);
  const Shown actor(entry.actor);
  const std::string_view severity = core::word(entry.severity);
  const std::string_view node = entry.node.empty() ? std::string_view("-") : entry.node.view();
  ErrorContextCallback* callbacks = error_context_stack;
  error_context_stack = nullptr;
  ereport(LOG_SERVER_ONLY,
          (errmsg_internal("pgfed: event=%s node=%.*s severity=%.*s detail=\"%s\" actor=\"%s\"",
                           entry.event.c_str(), static_cast<int>(node.size()), node.data(),
                           static_cast<int>(severity.size()), severity.data(), detail.bytes,
                           actor.bytes),
           errhidestmt(true), errhidecontext(true)));
  error_context_stack = callbacks;
}

pg_crc32c checksum_of(const FileHeader& header, const EventEntry* entries) {
  pg_crc32c checksum;
  INIT_CRC32C(checksum);
  COMP_CRC32C(checksum, &header, offsetof(FileHeader, checksum));
  COMP_CRC32C(checksum, entries, header.count * sizeof(EventEntry));
  FIN_CRC32C(checksum);
  return checksum;
}

/// A text from a file is not trusted to end, nor to be printable.
template <std::size_t N>
void clean(core::Text<N>& text) {
  core::Text<N> copy;
  text.bytes[N - 1] = '\0';
  copy.assign(text.view());
  text = copy;
}

/// Null, or what is wrong with the file; the entries are in palloc'd memory.
const char* read_file(FILE* file, FileHeader& header, EventEntry*& entries) {
  if (fread(&header, sizeof header, 1, file) != 1) return "it is too short";
  if (header.magic != kMagic || header.version != kFileVersion ||
      header.entry_size != sizeof(EventEntry)) {
    return "another version wrote it";
  }
  if (header.count > kEventCapacity || header.last_id < header.count) return "its header is wrong";
  const std::size_t room = std::max<std::size_t>(header.count, 1);
  entries = static_cast<EventEntry*>(palloc(room * sizeof(EventEntry)));
  if (fread(static_cast<void*>(entries), sizeof(EventEntry), header.count, file) != header.count) {
    return "it is too short";
  }
  if (!EQ_CRC32C(checksum_of(header, entries), header.checksum)) return "its checksum is wrong";
  return nullptr;
}

void take_entries(const FileHeader& header, EventEntry* entries) {
  EventsSection* events = shared.events;
  for (std::uint32_t i = 0; i < header.count; ++i) {
    EventEntry& entry = entries[i];
    // The newest events, one after the other, as save_events() wrote them.
    if (entry.id != header.last_id - header.count + 1 + i) return;
    clean(entry.observer);
    clean(entry.node);
    clean(entry.event);
    clean(entry.detail);
    clean(entry.actor);
    memcpy(static_cast<void*>(&events->ring[entry.id % kEventCapacity]), &entry, sizeof entry);
  }
  events->last_id = header.last_id;
}

}  // namespace

void record_event(const core::Record& record, const char* actor) {
  EventEntry entry{};
  entry.at = GetCurrentTimestamp();
  entry.observer = core::Name(setting::node_name);
  entry.node = record.node;
  entry.severity = record.severity;
  entry.event = record.event;
  entry.detail = record.detail;
  entry.actor = core::Text<64>(actor);

  EventsSection* events = shared.events;
  LWLockAcquire(section_lock(Section::events), LW_EXCLUSIVE);
  entry.id = ++events->last_id;
  memcpy(static_cast<void*>(&events->ring[entry.id % kEventCapacity]), &entry, sizeof entry);
  LWLockRelease(section_lock(Section::events));

  log_event(entry);
}

void load_events() {
  FILE* file = AllocateFile(kPath, PG_BINARY_R);
  if (file == nullptr) {
    if (errno != ENOENT) {
      ereport(LOG, (errcode_for_file_access(), errmsg("could not read file \"%s\": %m", kPath)));
    }
    return;
  }
  FileHeader header{};
  EventEntry* entries = nullptr;
  const char* problem = read_file(file, header, entries);
  FreeFile(file);
  if (problem == nullptr) {
    take_entries(header, entries);
  } else {
    ereport(LOG, (errmsg("ignoring file \"%s\": %s", kPath, problem)));
  }
  if (entries != nullptr) pfree(entries);
  // Read once: after a crash, events of an earlier life must not come back.
  if (unlink(kPath) != 0) {
    ereport(LOG, (errcode_for_file_access(), errmsg("could not remove file \"%s\": %m", kPath)));
  }
}

void save_events() {
  if (shared.events == nullptr || shared.events->last_id == 0) return;
  const EventsSection* events = shared.events;
  FileHeader header{};
  header.magic = kMagic;
  header.version = kFileVersion;
  header.entry_size = sizeof(EventEntry);
  header.last_id = events->last_id;
  header.count = static_cast<std::uint32_t>(
      std::min<std::int64_t>(events->last_id, static_cast<std::int64_t>(kEventCapacity)));

  auto* entries =
      static_cast<EventEntry*>(malloc(static_cast<std::size_t>(header.count) * sizeof(EventEntry)));
  FILE* file = entries != nullptr ? AllocateFile(kTemporaryPath, PG_BINARY_W) : nullptr;
  if (file == nullptr) {
    ereport(LOG,
            (errcode_for_file_access(), errmsg("could not write file \"%s\": %m", kTemporaryPath)));
    free(entries);
    return;
  }
  for (std::uint32_t i = 0; i < header.count; ++i) {
    const std::int64_t id = header.last_id - header.count + 1 + i;
    memcpy(static_cast<void*>(&entries[i]), &events->ring[id % kEventCapacity], sizeof *entries);
  }
  header.checksum = checksum_of(header, entries);
  const bool written = fwrite(&header, sizeof header, 1, file) == 1 &&
                       fwrite(entries, sizeof *entries, header.count, file) == header.count;
  free(entries);
  if (FreeFile(file) != 0 || !written) {
    ereport(LOG,
            (errcode_for_file_access(), errmsg("could not write file \"%s\": %m", kTemporaryPath)));
    unlink(kTemporaryPath);
    return;
  }
  (void)durable_rename(kTemporaryPath, kPath, LOG);
}

}  // namespace pgfed::pg
