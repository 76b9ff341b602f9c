#include "pgfed/pg/boundary.hpp"

namespace pgfed::pg {

char* to_database_encoding(std::string_view text) {
  char* copy = static_cast<char*>(palloc(text.size() + 1));
  memcpy(copy, text.data(), text.size());
  copy[text.size()] = '\0';
  const int encoding = GetDatabaseEncoding();
  if (encoding != PG_UTF8 && encoding != PG_SQL_ASCII) {
    for (char* c = copy; *c != '\0'; ++c) {
      if (static_cast<unsigned char>(*c) >= 0x80) *c = '?';
    }
  }
  return copy;
}

void raise_boxed(const BoxedError& error) {
  const char* state = error.sqlstate.c_str();
  const int code = strlen(state) == 5
                       ? MAKE_SQLSTATE(state[0], state[1], state[2], state[3], state[4])
                       : ERRCODE_INTERNAL_ERROR;
  ereport(ERROR,
          (errcode(code), errmsg("%s", to_database_encoding(error.message.view())),
           error.detail.empty() ? 0 : errdetail("%s", to_database_encoding(error.detail.view())),
           error.hint.empty() ? 0 : errhint("%s", to_database_encoding(error.hint.view()))));
}

}  // namespace pgfed::pg
