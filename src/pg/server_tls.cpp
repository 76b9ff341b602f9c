#include "pgfed/pg/server_tls.hpp"

#include <sys/stat.h>

#include <csignal>

#include "pgfed/pg/postgres_api.hpp"

namespace pgfed::pg {
namespace {

constexpr std::int64_t kPostgresEpochOffset =
    static_cast<std::int64_t>(POSTGRES_EPOCH_JDATE - UNIX_EPOCH_JDATE) * SECS_PER_DAY *
    USECS_PER_SEC;

/// Files that a reload reads, but for those of TLS: as found at the last reload.
struct ConfigFiles {
  TimestampTz loaded = 0;  ///< the reload after which they were looked up
  int count = 0;
  int capacity = 0;
  char** paths = nullptr;
};

std::string_view setting_text(const char* name) {
  const char* value = GetConfigOption(name, true, false);
  return value != nullptr ? value : "";
}

bool setting_on(const char* name) { return setting_text(name) == "on"; }

/// Last change of a file or of the link to it, microseconds since 1970; 0: it is not there.
std::int64_t changed_at(const char* path) {
  std::int64_t newest = 0;
  struct stat about {};
  for (const bool follow : {true, false}) {
    if ((follow ? stat(path, &about) : lstat(path, &about)) != 0) return 0;
    for (const timespec& when : {about.st_mtim, about.st_ctim}) {
      newest = std::max<std::int64_t>(newest, when.tv_sec * USECS_PER_SEC + when.tv_nsec / 1000);
    }
  }
  return newest;
}

void add_file(ConfigFiles& files, const char* path) {
  if (path == nullptr || *path == '\0' || changed_at(path) == 0) return;
  for (int i = 0; i < files.count; ++i) {
    if (strcmp(files.paths[i], path) == 0) return;
  }
  if (files.count == files.capacity) {
    constexpr int kFirst = 8;
    files.capacity = files.capacity == 0 ? kFirst : 2 * files.capacity;
    const Size size = static_cast<Size>(files.capacity) * sizeof(char*);
    files.paths =
        static_cast<char**>(files.paths == nullptr ? MemoryContextAlloc(TopMemoryContext, size)
                                                   : repalloc(files.paths, size));
  }
  files.paths[files.count++] = MemoryContextStrdup(TopMemoryContext, path);
}

/// What includes what is found by parsing, as Postgres itself parses; a mistake is not ours to report.
/// A file that holds no setting is not seen.
void find_files(ConfigFiles& files) {
  for (int i = 0; i < files.count; ++i) pfree(files.paths[i]);
  files.count = 0;
  files.loaded = PgReloadTime;
  for (const char* path :
       {static_cast<const char*>(ConfigFileName), PG_AUTOCONF_FILENAME,
        static_cast<const char*>(HbaFileName), static_cast<const char*>(IdentFileName)}) {
    add_file(files, path);
  }
  if (ConfigFileName == nullptr) return;
  ConfigVariable* head = nullptr;
  ConfigVariable* tail = nullptr;
  (void)ParseConfigFile(ConfigFileName, false, nullptr, 0, 0, DEBUG5, &head, &tail);
  for (const ConfigVariable* item = head; item != nullptr; item = item->next) {
    add_file(files, item->filename);
  }
  FreeConfigVariables(head);
}

std::string_view newest_of(const ConfigFiles& files, std::int64_t load_time) {
  const char* newest = "";
  std::int64_t newest_at = load_time;
  for (int i = 0; i < files.count; ++i) {
    const std::int64_t at = changed_at(files.paths[i]);
    if (at == 0) return files.paths[i];
    if (at <= newest_at) continue;
    newest = files.paths[i];
    newest_at = at;
  }
  return newest;
}

/// The one of them that was edited last since the last (re)load; empty: none was. One that is gone was
/// edited too.
std::string_view newest_edit(std::int64_t load_time) {
  static ConfigFiles files;
  if (files.loaded != PgReloadTime || files.count == 0) find_files(files);
  const std::string_view edited = newest_of(files, load_time);
  if (!edited.empty()) return edited;
  // One that has come to an include_dir since is in no list yet.
  find_files(files);
  return newest_of(files, load_time);
}

/// The walreceiver's connection string while it streams, without its password. What stands there
/// before it is ready to be shown still has that.
std::string_view live_conninfo() {
  static char conninfo[MAXCONNINFO];
  WalRcvData* receiver = WalRcv;
  SpinLockAcquire(&receiver->mutex);
  const bool streams =
      receiver->pid != 0 && receiver->walRcvState == WALRCV_STREAMING && receiver->ready_to_display;
  if (streams) memcpy(conninfo, receiver->conninfo, sizeof conninfo);
  SpinLockRelease(&receiver->mutex);
  if (!streams) return {};
  conninfo[sizeof conninfo - 1] = '\0';
  return conninfo;
}

}  // namespace

net::ServerTls take_server_tls() {
  net::ServerTls tls;
  tls.ssl = setting_on("ssl");
  tls.data_directory = DataDir;
  tls.ssl_cert_file = setting_text("ssl_cert_file");
  tls.ssl_key_file = setting_text("ssl_key_file");
  tls.ssl_ca_file = setting_text("ssl_ca_file");
  tls.ssl_crl_file = setting_text("ssl_crl_file");
  tls.ssl_crl_dir = setting_text("ssl_crl_dir");
  tls.passphrase_reload = !setting_text("ssl_passphrase_command").empty() &&
                          setting_on("ssl_passphrase_command_supports_reload");
  tls.ssl_min_protocol_version = setting_text("ssl_min_protocol_version");
  // Since 19
  if (setting_on("ssl_sni")) tls.hosts_file = setting_text("hosts_file");
  tls.primary_conninfo = setting_text("primary_conninfo");
  tls.live_conninfo = live_conninfo();
  tls.listen_addresses = setting_text("listen_addresses");
  tls.port = static_cast<std::uint16_t>(PostPortNumber);
  tls.load_time = PgReloadTime + kPostgresEpochOffset;
  tls.other_edit = newest_edit(tls.load_time);
  return tls;
}

void request_reload() {
  if (kill(PostmasterPid, SIGHUP) == 0) return;
  ereport(WARNING, (errmsg("pgfed could not tell the postmaster to reload: %m")));
}

}  // namespace pgfed::pg
