#include "pgfed/pg/shared_state.hpp"

/// The ring through which hearsay comes from the backends to the federation worker. Byte by byte
/// modulo its capacity: head and tail only ever grow.
namespace pgfed::pg {
namespace {

/// Where the federation worker takes turns at least this often anyway, it need not be woken.
constexpr core::Duration kSoon = core::milliseconds(50);

void copy_in(MailSection* mail, std::uint64_t at, const void* bytes, std::size_t length) {
  const std::size_t begin = at % mail->capacity;
  const std::size_t first = std::min<std::size_t>(length, mail->capacity - begin);
  memcpy(mail->ring + begin, bytes, first);
  memcpy(mail->ring, static_cast<const std::uint8_t*>(bytes) + first, length - first);
}

void copy_out(const MailSection* mail, std::uint64_t at, void* bytes, std::size_t length) {
  const std::size_t begin = at % mail->capacity;
  const std::size_t first = std::min<std::size_t>(length, mail->capacity - begin);
  memcpy(bytes, mail->ring + begin, first);
  memcpy(static_cast<std::uint8_t*>(bytes) + first, mail->ring, length - first);
}

}  // namespace

void post_mail(const core::Name& certificate_node, const void* bytes, std::size_t length) {
  if (length > core::kMaxReport) return;
  MailHeader header{};
  header.length = static_cast<std::uint32_t>(length);
  header.certificate_node = certificate_node;
  const std::uint64_t needed = sizeof header + length;

  MailSection* mail = shared.mail;
  std::uint64_t dropped = 0;
  LWLockAcquire(section_lock(Section::mail), LW_EXCLUSIVE);
  while (mail->head - mail->tail + needed > mail->capacity) {
    MailHeader oldest{};
    copy_out(mail, mail->tail, &oldest, sizeof oldest);
    mail->tail += sizeof oldest + oldest.length;
    ++dropped;
  }
  copy_in(mail, mail->head, &header, sizeof header);
  copy_in(mail, mail->head + sizeof header, bytes, length);
  mail->head += needed;
  LWLockRelease(section_lock(Section::mail));
  if (dropped > 0) {
    pg_atomic_fetch_add_u64(&shared.control->mail_dropped, static_cast<int64>(dropped));
  }

  const core::Instant beat{
      core::microseconds(static_cast<std::int64_t>(pg_atomic_read_u64(&shared.control->beat)))};
  if (core::age(beat, boot_now()) > kSoon) wake_federation_worker();
}

bool take_mail(MailHeader& header, std::uint8_t* bytes) {
  MailSection* mail = shared.mail;
  bool taken = false;
  LWLockAcquire(section_lock(Section::mail), LW_EXCLUSIVE);
  if (mail->tail < mail->head) {
    copy_out(mail, mail->tail, &header, sizeof header);
    copy_out(mail, mail->tail + sizeof header, bytes, header.length);
    mail->tail += sizeof header + header.length;
    taken = true;
  }
  LWLockRelease(section_lock(Section::mail));
  return taken;
}

}  // namespace pgfed::pg
