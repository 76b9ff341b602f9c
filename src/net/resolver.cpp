#include "pgfed/net/resolver.hpp"

#include <ares.h>
#include <netdb.h>
#include <sys/socket.h>
#include <sys/time.h>

#include <algorithm>
#include <memory>
#include <utility>

namespace pgfed::net {

namespace {

/// Short, so that a second name server is asked before the deadline of a dial (pgfed.peer_timeout,
/// 2 s) when the first is silent. A late answer is taken all the same.
constexpr int kServerTimeout = 500;  // ms
constexpr int kTries = 3;
constexpr unsigned kFailuresUntilReopened = 3;
constexpr std::size_t kMaxAddresses = 8;

/// What travels through c-ares with a lookup.
struct Question {
  Resolver* resolver;
  std::string host;
};

std::string numeric_form(const sockaddr* address, socklen_t length) {
  char text[NI_MAXHOST];
  if (getnameinfo(address, length, text, sizeof text, nullptr, 0, NI_NUMERICHOST) != 0) return {};
  return text;
}

bool same_file(const struct stat& a, const struct stat& b) {
  return a.st_ino == b.st_ino && a.st_dev == b.st_dev && a.st_size == b.st_size &&
         a.st_mtim.tv_sec == b.st_mtim.tv_sec && a.st_mtim.tv_nsec == b.st_mtim.tv_nsec;
}

/// A name that does not exist is an answer; these are servers that gave none.
bool server_failed(int status) {
  return status != ARES_SUCCESS && status != ARES_ENOTFOUND && status != ARES_ENODATA &&
         status != ARES_EBADNAME;
}

}  // namespace

Resolver::Resolver(Hooks hooks, Options options)
    : hooks_(std::move(hooks)), options_(std::move(options)) {
  if (hooks_.reserve_descriptor) hooks_.reserve_descriptor();  // the epoll set's own
}

Resolver::~Resolver() {
  close_channel();
  if (hooks_.release_descriptor) hooks_.release_descriptor();
}

std::string Resolver::numeric(const std::string& host) {
  addrinfo hints{};
  hints.ai_flags = AI_NUMERICHOST;  // so it asks nobody
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  if (host.empty() || getaddrinfo(host.c_str(), nullptr, &hints, &found) != 0) return {};
  const std::unique_ptr<addrinfo, decltype(&freeaddrinfo)> owner(found, &freeaddrinfo);
  return numeric_form(found->ai_addr, found->ai_addrlen);
}

std::vector<std::string> Resolver::numeric_list(const std::string& list) {
  std::vector<std::string> addresses;
  for (std::size_t start = 0; start <= list.size();) {
    const std::size_t comma = std::min(list.find(',', start), list.size());
    addresses.push_back(numeric(list.substr(start, comma - start)));
    if (addresses.back().empty()) return {};
    start = comma + 1;
  }
  return addresses;
}

void Resolver::start(LookupId id, const std::string& host) {
  const std::string address = numeric(host);
  if (!address.empty()) {
    answers_.push_back({.id = id, .addresses = {address}, .error = {}});
    return;
  }
  reopen_if_stale();
  const auto [question, is_new] = waiting_.try_emplace(host);
  question->second.push_back(id);
  if (is_new) ask(host);
}

void Resolver::cancel(LookupId id) {
  // c-ares cannot drop a single question: it goes on, and others may yet want its answer.
  for (auto& [host, askers] : waiting_) std::erase(askers, id);
  std::erase_if(answers_, [id](const Answer& answer) { return answer.id == id; });
}

core::Instant Resolver::next_deadline() const {
  if (!answers_.empty()) return core::kNever;
  timeval wait{};
  if (channel_ == nullptr || ares_timeout(channel_, nullptr, &wait) == nullptr) {
    return core::kForever;
  }
  return hooks_.now() + core::seconds(wait.tv_sec) + core::microseconds(wait.tv_usec);
}

void Resolver::run(std::vector<Answer>& answers) {
  std::vector<EpollSet::Ready> ready;
  sockets_.collect(ready);
  for (const EpollSet::Ready& one : ready) {
    const int socket = static_cast<int>(one.tag);
    // An earlier one may have had it closed.
    if (channel_ == nullptr || !open_sockets_.contains(socket)) continue;
    ares_process_fd(channel_, one.readable ? socket : ARES_SOCKET_BAD,
                    one.writable ? socket : ARES_SOCKET_BAD);
  }
  // Also with no socket ready, for what has timed out.
  if (channel_ != nullptr) ares_process_fd(channel_, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
  std::move(answers_.begin(), answers_.end(), std::back_inserter(answers));
  answers_.clear();
}

void Resolver::ask(const std::string& host) {
  if (!open_channel()) {
    settle(host, {}, "the resolver could not be started");
    return;
  }
  ares_addrinfo_hints hints{};
  hints.ai_family = AF_UNSPEC;
  hints.ai_socktype = SOCK_STREAM;
  auto question = std::make_unique<Question>(Question{.resolver = this, .host = host});
  ares_getaddrinfo(channel_, host.c_str(), nullptr, &hints, &Resolver::answered,
                   question.release());
}

bool Resolver::open_channel() {
  if (channel_ != nullptr) return true;
  conf_ = {};
  (void)stat(options_.resolv_conf.c_str(), &conf_);  // no such file: all zero, and so comparable
  failures_ = 0;

  ares_options options{};
  options.timeout = kServerTimeout;
  options.tries = kTries;
  options.sock_state_cb = &Resolver::socket_changed;
  options.sock_state_cb_data = this;
  constexpr int kGiven = ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_SOCK_STATE_CB;
  if (ares_init_options(&channel_, &options, kGiven) != ARES_SUCCESS) {
    channel_ = nullptr;
    return false;
  }
  if (!options_.servers.empty() &&
      ares_set_servers_ports_csv(channel_, options_.servers.c_str()) != ARES_SUCCESS) {
    close_channel();
    return false;
  }
  return true;
}

void Resolver::close_channel() {
  if (channel_ == nullptr) return;
  closing_ = true;
  ares_destroy(channel_);
  closing_ = false;
  channel_ = nullptr;
  while (!open_sockets_.empty()) on_socket(*open_sockets_.begin(), false, false);
}

void Resolver::reopen_if_stale() {
  if (channel_ == nullptr) return;
  struct stat now {};
  (void)stat(options_.resolv_conf.c_str(), &now);
  if (same_file(now, conf_) && failures_ < kFailuresUntilReopened) return;
  close_channel();
  // What was being asked is asked again, of whom the file names now.
  std::vector<std::string> hosts;
  for (const auto& [host, askers] : waiting_) hosts.push_back(host);
  for (const std::string& host : hosts) ask(host);
}

void Resolver::settle(const std::string& host, const std::vector<std::string>& addresses,
                      const std::string& error) {
  const auto question = waiting_.find(host);
  if (question == waiting_.end()) return;
  const std::vector<LookupId> askers = std::move(question->second);
  waiting_.erase(question);
  for (const LookupId id : askers) {
    answers_.push_back({.id = id, .addresses = addresses, .error = error});
  }
}

void Resolver::on_socket(int socket, bool readable, bool writable) {
  if (readable || writable) {
    if (open_sockets_.insert(socket).second && hooks_.reserve_descriptor) {
      hooks_.reserve_descriptor();
    }
    sockets_.watch(socket, static_cast<EpollSet::Tag>(socket), readable, writable);
  } else if (open_sockets_.erase(socket) != 0) {
    sockets_.forget(socket);
    if (hooks_.release_descriptor) hooks_.release_descriptor();
  }
}

void Resolver::on_answer(const std::string& host, int status, const ares_addrinfo* result) {
  if (closing_) return;
  failures_ = server_failed(status) ? failures_ + 1 : 0;

  std::vector<std::string> addresses;
  for (const ares_addrinfo_node* node = result == nullptr ? nullptr : result->nodes;
       node != nullptr && addresses.size() < kMaxAddresses; node = node->ai_next) {
    std::string address = numeric_form(node->ai_addr, node->ai_addrlen);
    const bool repeated = std::find(addresses.begin(), addresses.end(), address) != addresses.end();
    if (!address.empty() && !repeated) addresses.push_back(std::move(address));
  }
  std::string error;
  if (addresses.empty()) {
    error = "could not translate host name \"" + host +
            "\" to address: " + (status == ARES_SUCCESS ? "it has none" : ares_strerror(status));
  }
  settle(host, addresses, error);
}

void Resolver::answered(void* question, int status, int /*timeouts*/,
                        ares_addrinfo* result) noexcept {
  const std::unique_ptr<Question> owner(static_cast<Question*>(question));
  const std::unique_ptr<ares_addrinfo, decltype(&ares_freeaddrinfo)> addresses(result,
                                                                               &ares_freeaddrinfo);
  try {
    owner->resolver->on_answer(owner->host, status, result);
  } catch (...) {
    // Out of memory: nobody hears of this answer, but the next who asks puts the question again.
    owner->resolver->waiting_.erase(owner->host);
  }
}

void Resolver::socket_changed(void* resolver, int socket, int readable, int writable) noexcept {
  try {
    static_cast<Resolver*>(resolver)->on_socket(socket, readable != 0, writable != 0);
  } catch (...) {  // NOLINT(bugprone-empty-catch): an unwatched socket ends by c-ares' own timeout
  }
}

}  // namespace pgfed::net
