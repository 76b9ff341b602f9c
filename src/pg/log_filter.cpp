#include "pgfed/pg/entry.hpp"
#include "pgfed/pg/hooks.hpp"

/// pgfed.conninfo and the table of nodes refuse passwords, but a statement that tries to bring one
/// in would still be written to the log, by log_statement and its like, with the error that it
/// meets, or quoted in that error. Such statements are kept out; rather one too many.
namespace pgfed::pg {
namespace {

emit_log_hook_type previous_hook = nullptr;

constexpr const char* kInstead = "not shown: it may hold a password meant for pgfed";
constexpr const char* kEventLine = "pgfed: event=";
constexpr const char* kWrongSetting = "invalid value for parameter \"pgfed.";

bool mentions(const char* text, const char* word) {
  return text != nullptr && strcasestr(text, word) != nullptr;
}

bool begins_with(const char* text, const char* start) {
  return text != nullptr && strncmp(text, start, strlen(start)) == 0;
}

/// A keyword of libpq's for a secret, or what may be a connection URI with one.
bool has_secret(const char* text) {
  for (const char* word : {"password", "passwd", "passfile", "secret", "scram_"}) {
    if (mentions(text, word)) return true;
  }
  return text != nullptr && strchr(text, ':') != nullptr && strchr(text, '@') != nullptr;
}

/// However it is quoted or spaced. Its value is hidden whatever it is: what does not parse may be a
/// password as well.
bool names_conninfo(const char* text) {
  return mentions(text, "pgfed") && mentions(text, "conninfo");
}

/// A call of join() without schema; JOIN is a keyword, too, but no constant follows it.
bool calls_join(const char* text) {
  constexpr const char* kJoin = "join";
  constexpr const char* kBlanks = " \t\r\n";
  const char* at = text != nullptr ? strcasestr(text, kJoin) : nullptr;
  for (; at != nullptr; at = strcasestr(at + 1, kJoin)) {
    const char* next = at + strlen(kJoin);
    next += strspn(next, kBlanks);
    if (*next != '(') continue;
    ++next;
    next += strspn(next, kBlanks);
    if (*next == '\'' || *next == '$') return true;
  }
  return false;
}

bool names_us(const char* text) {
  return mentions(text, "pgfed") || mentions(text, "add_node") || mentions(text, "set_node") ||
         calls_join(text);
}

/// Raised by pgfed's own checks, whose texts repeat no value.
bool is_ours(const ErrorData* error) {
  return begins_with(error->message, kWrongSetting) ||
         (error->funcname != nullptr && strcmp(error->funcname, "raise_boxed") == 0);
}

/// The statement may be in the message itself (log_statement, auto_explain), the call in the
/// context of a function's or the detail of an EXECUTE's, and the secret among the parameters, in
/// detail or context.
bool is_concerned(const ErrorData* error) {
  const char* const texts[] = {debug_query_string, error->message, error->detail,
                               error->detail_log,  error->context, error->internalquery};
  bool ours = is_ours(error);
  bool secret = false;
  for (const char* text : texts) {
    if (names_conninfo(text)) return true;
    ours = ours || names_us(text);
    secret = secret || has_secret(text);
  }
  return ours && secret;
}

/// Errors that quote a piece of the statement.
bool quotes_statement(const ErrorData* error) {
  switch (error->sqlerrcode) {
    case ERRCODE_SYNTAX_ERROR:
    case ERRCODE_INVALID_TEXT_REPRESENTATION:
    case ERRCODE_UNDEFINED_COLUMN:
    case ERRCODE_UNDEFINED_OBJECT:
      return true;
    default:
      return has_secret(error->message) || has_secret(error->detail) || has_secret(error->hint);
  }
}

void hide(char*& text, MemoryContext context) {
  if (text != nullptr) text = MemoryContextStrdup(context, kInstead);
}

void hide_values(ErrorData* error) {
  MemoryContext memory = error->assoc_context;
  error->hide_stmt = true;
  hide(error->context, memory);
  hide(error->internalquery, memory);
  if (error->elevel <= LOG_SERVER_ONLY) {
    // Lines of log_statement and its like; others tell of something else meanwhile.
    if (names_conninfo(error->message) || has_secret(error->message)) hide(error->message, memory);
    hide(error->detail, memory);
    hide(error->detail_log, memory);
  } else if (!is_ours(error) && quotes_statement(error)) {
    hide(error->message, memory);
    hide(error->detail, memory);
    hide(error->detail_log, memory);
    hide(error->hint, memory);
    error->cursorpos = 0;
    error->internalpos = 0;
  }
}

}  // namespace

PGFED_CALLBACK(void, filter_log, (ErrorData * error)) {
  if (!begins_with(error->message, kEventLine) && is_concerned(error)) hide_values(error);
  if (previous_hook != nullptr) previous_hook(error);
}

void install_log_filter() {
  previous_hook = emit_log_hook;
  emit_log_hook = filter_log;
}

}  // namespace pgfed::pg
