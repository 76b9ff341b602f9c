#include "net_peers.hpp"

#include <arpa/inet.h>
#include <fcntl.h>
#include <grp.h>
#include <libpq-fe.h>
#include <poll.h>
#include <pwd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <memory>

namespace pgfed::net_test {

core::Instant boot_now() {
  timespec now{};
  clock_gettime(CLOCK_BOOTTIME, &now);
  return core::Instant(core::seconds(now.tv_sec) + core::microseconds(now.tv_nsec / 1000));
}

namespace {

/// A listening socket on a free port of 127.0.0.1, and that port.
std::pair<int, std::uint16_t> listen_somewhere() {
  const int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t length = sizeof address;
  if (bind(listener, reinterpret_cast<sockaddr*>(&address), length) != 0 ||
      listen(listener, 64) != 0 ||
      getsockname(listener, reinterpret_cast<sockaddr*>(&address), &length) != 0) {
    std::abort();
  }
  return {listener, ntohs(address.sin_port)};
}

}  // namespace

std::uint16_t free_port() {
  const auto [listener, port] = listen_somewhere();
  close(listener);
  return port;
}

// ---- fake servers ----------------------------------------------------------------------------

FakeServer::FakeServer(std::function<void(int)> serve) {
  std::tie(listener_, port_) = listen_somewhere();
  thread_ = std::thread([listener = listener_, serve = std::move(serve)] {
    for (;;) {
      const int client = accept(listener, nullptr, nullptr);
      if (client < 0) return;
      serve(client);
      close(client);
    }
  });
}

FakeServer::~FakeServer() {
  shutdown(listener_, SHUT_RDWR);
  thread_.join();
  close(listener_);
}

std::string be16(std::uint16_t value) {
  return {static_cast<char>(value >> 8), static_cast<char>(value & 0xff)};
}

std::string be32(std::uint32_t value) {
  return be16(static_cast<std::uint16_t>(value >> 16)) +
         be16(static_cast<std::uint16_t>(value & 0xffff));
}

std::string message(char type, const std::string& payload) {
  return std::string(1, type) + be32(static_cast<std::uint32_t>(payload.size() + 4)) + payload;
}

bool send_all(int socket, const std::string& bytes) {
  std::size_t sent = 0;
  while (sent < bytes.size()) {
    const ssize_t now = send(socket, bytes.data() + sent, bytes.size() - sent, MSG_NOSIGNAL);
    if (now <= 0) return false;
    sent += static_cast<std::size_t>(now);
  }
  return true;
}

std::string receive_some(int socket) {
  std::array<char, 65536> bytes{};
  const ssize_t count = recv(socket, bytes.data(), bytes.size(), 0);
  return count <= 0 ? std::string() : std::string(bytes.data(), static_cast<std::size_t>(count));
}

bool log_in(int socket) {
  const std::string version = std::string("server_version") + '\0' + "15.9" + '\0';
  return !receive_some(socket).empty() &&
         send_all(socket, message('R', be32(0)) + message('S', version) +
                              message('K', be32(1) + be32(2)) + message('Z', "I"));
}

std::string row_description() {
  const std::string column = std::string("exchange") + '\0' + be32(0) + be16(0) + be32(17) +
                             be16(0xffff) + be32(0xffffffff) + be16(1);
  return message('1', "") + message('2', "") + message('T', be16(1) + column);
}

// ---- the loop --------------------------------------------------------------------------------

Drill::Drill(net::Keywords conninfo)
    : transport({.now = boot_now,
                 .reserve_descriptor = [this] { ++descriptors; },
                 .release_descriptor = [this] { --descriptors; }}) {
  transport.set_conninfo(std::move(conninfo), "postgres");
}

core::Attempt Drill::dial(const std::string& host, std::uint16_t port, const std::string& options) {
  core::Dial dial{.attempt = ++last_attempt_, .node = {}};
  dial.node.name = "peer";
  dial.node.host = host;
  dial.node.port = port;
  dial.node.options = options;
  transport.dial(dial);
  return dial.attempt;
}

core::RequestId Drill::ask(core::Attempt attempt, const std::vector<std::uint8_t>& bytes) {
  transport.ask({.attempt = attempt, .request = ++last_request_}, bytes);
  return last_request_;
}

core::RequestId Drill::ask(core::Attempt attempt, const std::string& text) {
  return ask(attempt, std::vector<std::uint8_t>(text.begin(), text.end()));
}

bool Drill::run_until(const std::function<bool()>& done, core::Duration patience) {
  const core::Instant end = boot_now() + patience;
  while (!done()) {
    const core::Instant now = boot_now();
    if (now >= end) return false;
    const core::Instant until = std::min(end, transport.next_deadline());
    const auto wait = std::chrono::ceil<std::chrono::milliseconds>(core::age(now, until)).count();
    pollfd ready{.fd = transport.descriptor(), .events = POLLIN, .revents = 0};
    poll(&ready, 1, static_cast<int>(wait));
    const core::Instant before = boot_now();
    transport.run(events);
    longest_run = std::max(longest_run, core::age(before, boot_now()));
    std::erase_if(events, [this](const core::Event& event) {
      const auto* step = std::get_if<core::SessionProgress>(&event);
      if (step != nullptr) progress.push_back(*step);
      return step != nullptr;
    });
  }
  return true;
}

std::string Drill::stages(core::Attempt attempt) const {
  std::string text;
  for (const core::SessionProgress& step : progress) {
    if (step.attempt != attempt) continue;
    if (!text.empty()) text += '>';
    text += core::word(step.stage);
  }
  return text;
}

// ---- real servers ----------------------------------------------------------------------------

namespace {

const passwd* server_user() {
  const passwd* user = getpwnam("postgres");
  return user != nullptr ? user : getpwnam("nobody");
}

std::string bin_folder() {
  const char* program = getenv("PG_CONFIG");
  const std::string command =
      std::string(program != nullptr ? program : "pg_config") + " --bindir 2>/dev/null";
  const std::unique_ptr<FILE, int (*)(FILE*)> pipe(popen(command.c_str(), "r"), &pclose);
  std::array<char, 1024> line{};
  if (!pipe || fgets(line.data(), line.size(), pipe.get()) == nullptr) return {};
  std::string folder = line.data();
  folder.erase(folder.find_last_not_of("\n ") + 1);
  return folder;
}

using Connection = std::unique_ptr<PGconn, decltype(&PQfinish)>;
using Result = std::unique_ptr<PGresult, decltype(&PQclear)>;

}  // namespace

int run_as_server_user(const std::vector<std::string>& command, const std::string& output) {
  const pid_t child = fork();
  if (child == 0) {
    const passwd* user = server_user();
    if (geteuid() == 0 && (user == nullptr || setgroups(0, nullptr) != 0 ||
                           setgid(user->pw_gid) != 0 || setuid(user->pw_uid) != 0)) {
      _exit(126);
    }
    if (chdir("/") != 0) _exit(126);
    const int log = open(output.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0600);
    dup2(log, STDOUT_FILENO);
    dup2(log, STDERR_FILENO);
    std::vector<char*> arguments;
    arguments.reserve(command.size() + 1);
    for (const std::string& one : command) arguments.push_back(const_cast<char*>(one.c_str()));
    arguments.push_back(nullptr);
    execvp(arguments[0], arguments.data());
    _exit(127);
  }
  int status = -1;
  waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

bool PostgresServer::available() {
  const std::string folder = bin_folder();
  return !folder.empty() && access((folder + "/initdb").c_str(), X_OK) == 0 &&
         access((folder + "/pg_ctl").c_str(), X_OK) == 0;
}

PostgresServer::PostgresServer() {
  if (!make() || !start()) {
    std::ifstream log(path("log"));
    problem_ = "could not make a server:\n" + std::string(std::istreambuf_iterator<char>(log), {});
  }
}

PostgresServer::~PostgresServer() {
  if (running_) stop("immediate");
  if (!folder_.empty()) std::filesystem::remove_all(folder_);
}

bool PostgresServer::openssl(const std::vector<std::string>& arguments) {
  std::vector<std::string> command = {"openssl"};
  command.insert(command.end(), arguments.begin(), arguments.end());
  return run_as_server_user(command, path("log")) == 0;
}

bool PostgresServer::make_certificates() {
  const auto make_one = [this](const std::string& name, const std::string& subject,
                               const std::string& extension, const std::string& issuer) {
    std::vector<std::string> command = {"req",      "-x509",
                                        "-newkey",  "ec",
                                        "-pkeyopt", "ec_paramgen_curve:P-256",
                                        "-nodes",   "-days",
                                        "2",        "-utf8",
                                        "-subj",    subject,
                                        "-addext",  extension,
                                        "-keyout",  path(name + ".key"),
                                        "-out",     path(name + ".crt")};
    if (!issuer.empty()) {
      command.insert(command.end(),
                     {"-CA", path(issuer + ".crt"), "-CAkey", path(issuer + ".key")});
    }
    return openssl(command);
  };
  constexpr const char* kNames = "subjectAltName=IP:127.0.0.21,DNS:localhost";
  constexpr const char* kNoCa = "basicConstraints=CA:FALSE";
  return make_one("ca", "/CN=test CA", "keyUsage=keyCertSign", "") &&
         make_one("otherca", "/CN=other CA", "keyUsage=keyCertSign", "") &&
         make_one("server", "/CN=server", kNames, "ca") &&
         make_one("peer", "/O=Föderation, e. V./CN=peer", kNoCa, "ca") &&
         make_one("stranger", "/CN=peer", kNoCa, "otherca");
}

bool PostgresServer::make() {
  std::string pattern = std::filesystem::temp_directory_path() / "pgfed_net_XXXXXX";
  if (mkdtemp(pattern.data()) == nullptr) return false;
  folder_ = pattern;
  const passwd* user = server_user();
  if (geteuid() == 0 && (user == nullptr || chown(folder_.c_str(), user->pw_uid, user->pw_gid))) {
    return false;
  }
  port_ = free_port();
  if (run_as_server_user({bin_folder() + "/initdb", "-D", path("data"), "-U", "postgres", "-A",
                          "trust", "-E", "UTF8", "--locale=C", "--no-sync", "--no-instructions"},
                         path("log")) != 0 ||
      !make_certificates()) {
    return false;
  }
  std::ofstream conf(path("data/postgresql.conf"), std::ios::app);
  conf << "port = " << port_ << "\nlisten_addresses = '127.0.0.21'\n"
       << "unix_socket_directories = '" << folder_ << "'\n"
       << "fsync = off\nmax_connections = 10\nsuperuser_reserved_connections = 3\n"
       << "max_wal_senders = 0\nautovacuum = off\nshared_buffers = 8MB\n"
       << "ssl = on\nssl_cert_file = '" << path("server.crt") << "'\nssl_key_file = '"
       << path("server.key") << "'\nssl_ca_file = '" << path("ca.crt") << "'\n";
  std::ofstream hba(path("data/pg_hba.conf"), std::ios::trunc);
  hba << "local all postgres trust\n"
      << "hostssl all peer 127.0.0.0/8 cert\n"
      << "host all trusted 127.0.0.0/8 trust\n"
      << "host all secret 127.0.0.0/8 scram-sha-256\n";
  return conf.good() && hba.good();
}

bool PostgresServer::configure(const std::string& lines) {
  std::ofstream conf(path("data/postgresql.conf"), std::ios::app);
  conf << lines;
  return conf.good();
}

bool PostgresServer::start() {
  running_ = run_as_server_user({bin_folder() + "/pg_ctl", "-D", path("data"), "-l", path("log"),
                                 "-w", "-t", "30", "start"},
                                path("log")) == 0;
  return running_;
}

bool PostgresServer::stop(const std::string& mode) {
  running_ = false;
  return run_as_server_user(
             {bin_folder() + "/pg_ctl", "-D", path("data"), "-w", "-t", "30", "-m", mode, "stop"},
             path("log")) == 0;
}

std::string PostgresServer::superuser_conninfo(const std::string& database) const {
  return "host=" + folder_ + " port=" + std::to_string(port_) + " user=postgres dbname=" + database;
}

bool PostgresServer::sql(const std::string& statements, const std::string& database) {
  const Connection connection(PQconnectdb(superuser_conninfo(database).c_str()), &PQfinish);
  // CREATE DATABASE wants to be alone: one message each, divided by empty lines.
  std::size_t start = 0;
  while (start < statements.size()) {
    std::size_t end = statements.find("\n\n", start);
    if (end == std::string::npos) end = statements.size();
    const Result result(PQexec(connection.get(), statements.substr(start, end - start).c_str()),
                        &PQclear);
    const ExecStatusType status = PQresultStatus(result.get());
    if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK) {
      (void)fprintf(stderr, "%s", PQerrorMessage(connection.get()));
      return false;
    }
    start = end + 2;
  }
  return true;
}

std::string PostgresServer::value(const std::string& query) {
  const Connection connection(PQconnectdb(superuser_conninfo().c_str()), &PQfinish);
  const Result result(PQexec(connection.get(), query.c_str()), &PQclear);
  return PQntuples(result.get()) == 1 ? PQgetvalue(result.get(), 0, 0) : "";
}

}  // namespace pgfed::net_test
