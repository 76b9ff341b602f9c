#include "pgfed/net/anchors.hpp"

#include <openssl/err.h>
#include <openssl/x509_vfy.h>

#include <new>

namespace pgfed::net {

namespace {

struct StoreFree {
  void operator()(X509_STORE* store) const noexcept { X509_STORE_free(store); }
};
struct ContextFree {
  void operator()(X509_STORE_CTX* context) const noexcept { X509_STORE_CTX_free(context); }
};
struct StackFree {
  void operator()(STACK_OF(X509) * stack) const noexcept { sk_X509_free(stack); }
};

bool is_root(X509* certificate) {
  return X509_NAME_cmp(X509_get_subject_name(certificate), X509_get_issuer_name(certificate)) == 0;
}

}  // namespace

struct Anchors::Impl {
  std::unique_ptr<X509_STORE, StoreFree> store{X509_STORE_new()};
  bool empty = true;

  void add(X509* certificate) {
    if (X509_STORE_add_cert(store.get(), certificate) == 1) empty = false;
    ERR_clear_error();
  }
};

Anchors::Anchors() : impl_(std::make_unique<Impl>()) {
  if (!impl_->store) throw std::bad_alloc();
}
Anchors::~Anchors() = default;

void Anchors::add(std::span<const X509Owner> certificates) {
  for (const X509Owner& one : certificates) impl_->add(one.get());
}

void Anchors::add_roots(std::span<const X509Owner> certificates) {
  for (const X509Owner& one : certificates) {
    if (is_root(one.get())) impl_->add(one.get());
  }
}

void Anchors::add_system() {
  if (X509_STORE_set_default_paths(impl_->store.get()) == 1) impl_->empty = false;
  ERR_clear_error();
}

bool Anchors::empty() const { return impl_->empty; }

core::Fingerprint Anchors::anchor_of(std::span<const X509Owner> chain) const {
  core::Fingerprint anchor;
  if (chain.empty() || impl_->empty) return anchor;
  const std::unique_ptr<X509_STORE_CTX, ContextFree> context(X509_STORE_CTX_new());
  const std::unique_ptr<STACK_OF(X509), StackFree> others(sk_X509_new_null());
  if (!context || !others) throw std::bad_alloc();
  for (const X509Owner& one : chain.subspan(1)) sk_X509_push(others.get(), one.get());
  if (X509_STORE_CTX_init(context.get(), impl_->store.get(), chain.front().get(), others.get()) ==
      1) {
    X509_STORE_CTX_set_flags(context.get(), X509_V_FLAG_NO_CHECK_TIME);
    if (X509_verify_cert(context.get()) == 1) {
      STACK_OF(X509)* built = X509_STORE_CTX_get0_chain(context.get());
      const int length = sk_X509_num(built);
      if (length > 0) anchor = fingerprint_of(sk_X509_value(built, length - 1));
    }
  }
  ERR_clear_error();
  return anchor;
}

}  // namespace pgfed::net
