#include "pgfed/core/peer_trust.hpp"

namespace pgfed::core {

std::string_view hint_for(Diagnosis diagnosis) {
  switch (diagnosis) {
    case Diagnosis::unresolved:
      return "Check the name with the name servers of this host, or SELECT pgfed.set_node('…', "
             "host => …).";
    case Diagnosis::tcp_refused:
      return "Check that the server is running, listen_addresses and port there, and the load "
             "balancer in between.";
    case Diagnosis::tcp_timeout:
      return "Check routes, firewalls and network policies between the two clusters.";
    case Diagnosis::no_answer:
      return "Something accepts the connection and hangs: look at the server's load, or at the "
             "load balancer's health check.";
    case Diagnosis::closed:
      return "A load balancer without a living backend does that: look at its backends, and at the "
             "server's log.";
    case Diagnosis::plaintext_only:
      return "There: ALTER SYSTEM SET ssl = on; with ssl_cert_file and ssl_key_file, then SELECT "
             "pg_reload_conf().";
    case Diagnosis::server_error:
      return "Look at that server's log.";
    case Diagnosis::not_postgres:
      return "Correct the address or the port with SELECT pgfed.set_node('…', host => …, port => "
             "…).";
    case Diagnosis::router_needs_clienthello:
      return "With PostgreSQL 17 or later on both sides: SELECT pgfed.set_node('…', options => "
             "'sslnegotiation=direct'). Else use a TCP load balancer instead of the router.";
    case Diagnosis::route_missing:
      return "Add a passthrough route for exactly this name at the router, or correct the node's "
             "host.";
    case Diagnosis::backend_too_old_for_direct:
      return "Upgrade that server to PostgreSQL 17, or dial it by a TCP load balancer and without "
             "sslnegotiation=direct.";
    case Diagnosis::alpn_missing:
      return "Something in between ends TLS itself: the route must be passthrough, not edge or "
             "reencrypt.";
    case Diagnosis::handshake_failed:
      return "Compare the TLS versions and ciphers of both sides: SHOW ssl_min_protocol_version; "
             "SHOW ssl_ciphers.";
    case Diagnosis::client_certificate_required:
      return "Set sslcert and sslkey in pgfed.conninfo: that server lets nobody in without a "
             "certificate.";
    case Diagnosis::client_certificate_rejected:
      return "The authority of this server's client certificate must be in ssl_ca_file there, and "
             "the certificate valid.";
    case Diagnosis::self_signed:
    case Diagnosis::unknown_ca:
      return "Have its certificate signed by the federation's authority, or add its authority to "
             "the file that sslrootcert of pgfed.conninfo names.";
    case Diagnosis::chain_incomplete:
      return "Append the intermediate certificate to ssl_cert_file there, then SELECT "
             "pg_reload_conf().";
    case Diagnosis::expired:
    case Diagnosis::ca_expired:
      return "Renew it there; the server loads it by itself with pgfed.tls_reload = on, else SELECT "
             "pg_reload_conf().";
    case Diagnosis::not_yet_valid:
      return "Check the clocks of both hosts, and when the certificate begins.";
    case Diagnosis::revoked:
      return "Have a new certificate made for that server.";
    case Diagnosis::crl_missing:
      return "Renew the file that sslcrl of pgfed.conninfo names; it needs a list of each "
             "authority.";
    case Diagnosis::weak_key:
      return "Have a new certificate made with a key of RSA 2048 or EC P-256 at least.";
    case Diagnosis::wrong_purpose:
      return "Have a certificate made whose extendedKeyUsage, if any, includes serverAuth.";
    case Diagnosis::untrusted:
      return "Compare with: openssl s_client -starttls postgres -connect host:port -CAfile ….";
    case Diagnosis::name_mismatch:
      return "Have a certificate made with all names: SELECT * FROM pgfed.certificate_names().";
    case Diagnosis::trust_unreadable:
      return "Correct sslrootcert, sslcrl, sslcert and sslkey in pgfed.conninfo on this server, and "
             "who may read these files.";
    case Diagnosis::unknown:
    case Diagnosis::ok:
      break;
  }
  return {};
}

}  // namespace pgfed::core
