#include "pgfed/pg/entry.hpp"
#include "pgfed/pg/hooks.hpp"

/// pgfed.conninfo refuses passwords, but a statement that tries to set one would still be written to
/// the log, by log_statement or with the error that it meets. Such statements are kept out.
namespace pgfed::pg {
namespace {

emit_log_hook_type previous_hook = nullptr;

constexpr const char* kInstead = "not shown: it would put a password into pgfed.conninfo";

/// A password as a keyword, or in a connection URI.
bool has_secret(const char* text) {
  return text != nullptr && (strcasestr(text, "password") != nullptr ||
                             (strstr(text, "://") != nullptr && strchr(text, '@') != nullptr));
}

void filter(char*& text, MemoryContext context) {
  if (has_secret(text)) text = MemoryContextStrdup(context, kInstead);
}

}  // namespace

PGFED_CALLBACK(void, filter_log, (ErrorData * error)) {
  if (debug_query_string != nullptr &&
      strcasestr(debug_query_string, "pgfed.conninfo") != nullptr) {
    if (has_secret(debug_query_string)) error->hide_stmt = true;
    // The messages of errors are Postgres' or ours, and hold no value; those of log_statement and
    // its like are the statement itself.
    if (error->elevel <= LOG_SERVER_ONLY) {
      filter(error->message, error->assoc_context);
      filter(error->detail, error->assoc_context);
      filter(error->detail_log, error->assoc_context);
    }
    filter(error->context, error->assoc_context);
    filter(error->internalquery, error->assoc_context);
  }
  if (previous_hook != nullptr) previous_hook(error);
}

void install_log_filter() {
  previous_hook = emit_log_hook;
  emit_log_hook = filter_log;
}

}  // namespace pgfed::pg
