-- pgfed 0.1: what CREATE EXTENSION pgfed makes.

-- complain if this file is read by psql instead of CREATE EXTENSION
\echo Use "CREATE EXTENSION pgfed" to load this file. \quit

-- Nothing below depends on what a database, a role or a session has set.
SET LOCAL search_path = pg_catalog, pg_temp;

-- A schema of this name that somebody else made is not trusted: whatever is in it, or will be put
-- there by its owner, could come between. So there is no IF NOT EXISTS here.
CREATE SCHEMA pgfed;
COMMENT ON SCHEMA pgfed IS 'pgfed: the servers of a federation, seen from every one of them';

CREATE FUNCTION pgfed._check_database() RETURNS void
  LANGUAGE c AS 'MODULE_PATHNAME', 'pgfed_check_database';
COMMENT ON FUNCTION pgfed._check_database() IS
  'raises an error unless pgfed is preloaded and this database is pgfed.database; for the scripts of the extension';
SELECT pgfed._check_database();

-- ---- tables --------------------------------------------------------------------------------------

-- Names compare as bytes, so that no change of the operating system's collations can break the index.
CREATE TABLE pgfed.nodes (
  name     text    COLLATE "C" NOT NULL,
  host     text    NOT NULL,
  port     integer NOT NULL DEFAULT 5432,
  site     text    NOT NULL DEFAULT 'default',
  upstream text,
  options  text    NOT NULL DEFAULT '',
  CONSTRAINT nodes_pkey PRIMARY KEY (name)
);
COMMENT ON TABLE pgfed.nodes IS
  'the nodes of the federation; changed only by pgfed.add_node(), set_node(), remove_node() and join()';
COMMENT ON COLUMN pgfed.nodes.name IS 'the node''s pgfed.node_name';
COMMENT ON COLUMN pgfed.nodes.host IS 'the DNS name or IP address at which every other node reaches it';
COMMENT ON COLUMN pgfed.nodes.port IS 'the port at which every other node reaches it';
COMMENT ON COLUMN pgfed.nodes.site IS 'where it stands: a data centre, a zone, a rack';
COMMENT ON COLUMN pgfed.nodes.upstream IS 'the node it is meant to stream from; NULL: the primary, whichever that is';
COMMENT ON COLUMN pgfed.nodes.options IS 'libpq keywords of the endpoint, such as hostaddr; never credentials';

CREATE TABLE pgfed.cluster (
  system_identifier bigint NOT NULL
);
CREATE UNIQUE INDEX cluster_one_row ON pgfed.cluster ((true));
COMMENT ON TABLE pgfed.cluster IS
  'the cluster that pgfed.nodes belongs to, at most one row; set by the first node added and by pgfed.adopt()';
COMMENT ON COLUMN pgfed.cluster.system_identifier IS
  'system identifier as in pg_control_system(); where it is not the server''s own, pgfed idles';

SELECT pg_catalog.pg_extension_config_dump('pgfed.nodes', '');
SELECT pg_catalog.pg_extension_config_dump('pgfed.cluster', '');

-- ---- functions on nodes --------------------------------------------------------------------------

CREATE FUNCTION pgfed.add_node(
  name     text,
  host     text,
  port     integer DEFAULT 5432,
  site     text DEFAULT 'default',
  upstream text DEFAULT NULL,
  options  text DEFAULT '')
RETURNS void
LANGUAGE c SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'pgfed_add_node';
COMMENT ON FUNCTION pgfed.add_node(text, text, integer, text, text, text) IS
  'adds a node to the federation; on the primary only';

CREATE FUNCTION pgfed.set_node(
  name     text,
  host     text DEFAULT NULL,
  port     integer DEFAULT NULL,
  site     text DEFAULT NULL,
  upstream text DEFAULT NULL,
  options  text DEFAULT NULL)
RETURNS void
LANGUAGE c SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'pgfed_set_node';
COMMENT ON FUNCTION pgfed.set_node(text, text, integer, text, text, text) IS
  'changes a node; NULL keeps what is there, upstream => '''' makes it follow the primary; on the primary only';

CREATE FUNCTION pgfed.remove_node(name text)
RETURNS void
LANGUAGE c SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'pgfed_remove_node';
COMMENT ON FUNCTION pgfed.remove_node(text) IS
  'removes a node from the federation; on the primary only';

CREATE FUNCTION pgfed.join(name text, host text, port integer, site text)
RETURNS void
LANGUAGE c SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'pgfed_join';
COMMENT ON FUNCTION pgfed.join(text, text, integer, text) IS
  'adds or updates the caller''s own row: what a node that joins calls on the primary, as the peer role';

CREATE FUNCTION pgfed.adopt()
RETURNS void
LANGUAGE c SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'pgfed_adopt';
COMMENT ON FUNCTION pgfed.adopt() IS
  'says that this cluster is the federation from now on: after pg_upgrade, or a pg_dump restored into another cluster';

-- ---- peers ---------------------------------------------------------------------------------------

CREATE FUNCTION pgfed.allow_peer(role name, rewind boolean DEFAULT false)
RETURNS void
LANGUAGE c SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'pgfed_allow_peer';
COMMENT ON FUNCTION pgfed.allow_peer(name, boolean) IS
  'grants a login role what a peer needs (pgfed.exchange() and join(); with rewind, what pg_rewind reads), and nothing else';

CREATE FUNCTION pgfed.revoke_peer(role name)
RETURNS void
LANGUAGE c SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'pgfed_revoke_peer';
COMMENT ON FUNCTION pgfed.revoke_peer(name) IS
  'takes back everything that pgfed.allow_peer() grants';

CREATE FUNCTION pgfed.exchange(report bytea)
RETURNS bytea
LANGUAGE c STRICT
AS 'MODULE_PATHNAME', 'pgfed_exchange';
COMMENT ON FUNCTION pgfed.exchange(bytea) IS
  'the one call between peers: takes the caller''s report about itself, returns this server''s';

-- ---- connecting ----------------------------------------------------------------------------------

CREATE FUNCTION pgfed.connection_string(target_session_attrs text DEFAULT 'read-write')
RETURNS text
LANGUAGE c STRICT PARALLEL SAFE
AS 'MODULE_PATHNAME', 'pgfed_connection_string';
COMMENT ON FUNCTION pgfed.connection_string(text) IS
  'connection string for applications: all nodes and the session attribute wanted, no database and no credentials';

CREATE FUNCTION pgfed.standby_settings(node text, OUT name text, OUT setting text)
RETURNS SETOF record
LANGUAGE c STRICT ROWS 5 SET search_path = pg_catalog, pg_temp
AS 'MODULE_PATHNAME', 'pgfed_standby_settings';
COMMENT ON FUNCTION pgfed.standby_settings(text) IS
  'the settings that make a node a standby of this federation; never a password';

-- ---- TLS -----------------------------------------------------------------------------------------

-- Dials what it is given, with this server's credentials: for superusers, and whom one grants it to.
CREATE FUNCTION pgfed.probe(
  host    text,
  port    integer DEFAULT 5432,
  options text DEFAULT '',
  OUT stage text, OUT ok boolean, OUT detail text, OUT elapsed interval)
RETURNS SETOF record
LANGUAGE c ROWS 8
AS 'MODULE_PATHNAME', 'pgfed_probe';
COMMENT ON FUNCTION pgfed.probe(text, integer, text) IS
  'dials an address and says step by step how far it gets: name, TCP, TLS, certificate; the last row is the diagnosis';

CREATE FUNCTION pgfed.certificate_names(OUT kind text, OUT name text)
RETURNS SETOF record
LANGUAGE c STRICT PARALLEL SAFE ROWS 8
AS 'MODULE_PATHNAME', 'pgfed_certificate_names';
COMMENT ON FUNCTION pgfed.certificate_names() IS
  'every DNS name and IP address that a certificate shared by all nodes must carry';

-- ---- views ---------------------------------------------------------------------------------------

CREATE FUNCTION pgfed._federation(
  OUT node text, OUT site text, OUT role text, OUT state text, OUT upstream text,
  OUT timeline integer, OUT lsn pg_lsn, OUT lag_bytes bigint, OUT lag interval, OUT slot text,
  OUT certificate text, OUT expires_in interval, OUT seen interval, OUT status text,
  OUT detail text, OUT since timestamptz)
RETURNS SETOF record
LANGUAGE c STRICT PARALLEL SAFE ROWS 8
AS 'MODULE_PATHNAME', 'pgfed_federation';
COMMENT ON FUNCTION pgfed._federation() IS 'the rows of pgfed.federation';

CREATE VIEW pgfed.federation AS
  SELECT f.node, f.site, f.role, f.state, f.upstream, f.timeline, f.lsn, f.lag_bytes, f.lag, f.slot,
         f.certificate, f.expires_in, f.seen, f.status, f.detail, f.since
    FROM pgfed._federation() AS f;
COMMENT ON VIEW pgfed.federation IS 'the federation as this server sees it, one row a node: the page to look at first';
COMMENT ON COLUMN pgfed.federation.node IS 'whom the row is about';
COMMENT ON COLUMN pgfed.federation.site IS 'where it stands';
COMMENT ON COLUMN pgfed.federation.role IS 'primary or standby, as it last said itself; NULL: never seen';
COMMENT ON COLUMN pgfed.federation.state IS
  'running (a primary), streaming, catchup, starting, not_streaming, unreachable, wrong_system, no_pgfed or unknown';
COMMENT ON COLUMN pgfed.federation.upstream IS 'the node it streams from right now';
COMMENT ON COLUMN pgfed.federation.timeline IS 'the timeline it is on';
COMMENT ON COLUMN pgfed.federation.lsn IS 'a primary: how far its WAL is flushed; a standby: how far it has replayed';
COMMENT ON COLUMN pgfed.federation.lag_bytes IS 'bytes of WAL between the primary and what this standby has replayed';
COMMENT ON COLUMN pgfed.federation.lag IS 'how far its data are behind the primary''s, in time';
COMMENT ON COLUMN pgfed.federation.slot IS 'the replication slot in use: active, inactive, missing or lost';
COMMENT ON COLUMN pgfed.federation.certificate IS
  'verdict on the certificate it serves: ok, expiring, expired, not_yet_valid, untrusted, mismatch, plaintext or unknown';
COMMENT ON COLUMN pgfed.federation.expires_in IS 'remaining validity of that certificate; negative: it is past';
COMMENT ON COLUMN pgfed.federation.seen IS 'age of its last good answer; NULL: none yet';
COMMENT ON COLUMN pgfed.federation.status IS 'ok, warning, critical or unknown';
COMMENT ON COLUMN pgfed.federation.detail IS 'the first problem; what to do about it is in pgfed.checks';
COMMENT ON COLUMN pgfed.federation.since IS 'when this state began';

CREATE FUNCTION pgfed._peers(
  OUT node text, OUT host text, OUT port integer, OUT state text, OUT stage text, OUT error text,
  OUT failures integer, OUT connected_since timestamptz, OUT last_seen timestamptz,
  OUT rtt interval, OUT clock_offset interval, OUT server_version text, OUT library_version text,
  OUT extension_version text, OUT system_identifier bigint, OUT tls_protocol text,
  OUT client_dn text)
RETURNS SETOF record
LANGUAGE c STRICT PARALLEL SAFE ROWS 8
AS 'MODULE_PATHNAME', 'pgfed_peers';
COMMENT ON FUNCTION pgfed._peers() IS 'the rows of pgfed.peers';

CREATE VIEW pgfed.peers AS
  SELECT p.node, p.host, p.port, p.state, p.stage, p.error, p.failures, p.connected_since,
         p.last_seen, p.rtt, p.clock_offset, p.server_version, p.library_version,
         p.extension_version, p.system_identifier, p.tls_protocol, p.client_dn
    FROM pgfed._peers() AS p;
COMMENT ON VIEW pgfed.peers IS 'this server''s sessions to the nodes, itself included';
COMMENT ON COLUMN pgfed.peers.node IS 'the node that is dialled';
COMMENT ON COLUMN pgfed.peers.host IS 'its host in pgfed.nodes';
COMMENT ON COLUMN pgfed.peers.port IS 'its port in pgfed.nodes';
COMMENT ON COLUMN pgfed.peers.state IS 'idle, connecting, connected, failed or unknown';
COMMENT ON COLUMN pgfed.peers.stage IS 'where the last attempt failed: resolve, connect, tls, authenticate or query; NULL: it did not';
COMMENT ON COLUMN pgfed.peers.error IS 'why the last attempt failed';
COMMENT ON COLUMN pgfed.peers.failures IS 'failures in a row since the last good answer';
COMMENT ON COLUMN pgfed.peers.connected_since IS 'when this session was opened';
COMMENT ON COLUMN pgfed.peers.last_seen IS 'when the last good answer came';
COMMENT ON COLUMN pgfed.peers.rtt IS 'how long the last exchange took';
COMMENT ON COLUMN pgfed.peers.clock_offset IS 'its wall clock minus this server''s, give or take half of rtt';
COMMENT ON COLUMN pgfed.peers.server_version IS 'its PostgreSQL version, such as 17.6';
COMMENT ON COLUMN pgfed.peers.library_version IS 'the version of pgfed''s library that it runs';
COMMENT ON COLUMN pgfed.peers.extension_version IS 'the version of the extension as it reads the catalog';
COMMENT ON COLUMN pgfed.peers.system_identifier IS 'as in pg_control_system() there';
COMMENT ON COLUMN pgfed.peers.tls_protocol IS 'TLS version of the session; NULL: none';
COMMENT ON COLUMN pgfed.peers.client_dn IS 'subject of the certificate that this server presents there';

CREATE FUNCTION pgfed._links(
  OUT observer text, OUT target text, OUT connected boolean, OUT rtt interval, OUT error text,
  OUT observed_at timestamptz)
RETURNS SETOF record
LANGUAGE c STRICT PARALLEL SAFE ROWS 64
AS 'MODULE_PATHNAME', 'pgfed_links';
COMMENT ON FUNCTION pgfed._links() IS 'the rows of pgfed.links';

CREATE VIEW pgfed.links AS
  SELECT l.observer, l.target, l.connected, l.rtt, l.error, l.observed_at
    FROM pgfed._links() AS l;
COMMENT ON VIEW pgfed.links IS 'who sees whom, from every node''s own report';
COMMENT ON COLUMN pgfed.links.observer IS 'the node that says it';
COMMENT ON COLUMN pgfed.links.target IS 'whom it is about';
COMMENT ON COLUMN pgfed.links.connected IS 'whether observer has a session to target; NULL: not known';
COMMENT ON COLUMN pgfed.links.rtt IS 'how long the last exchange between them took';
COMMENT ON COLUMN pgfed.links.error IS 'why there is no session';
COMMENT ON COLUMN pgfed.links.observed_at IS 'when observer saw it so, by this server''s clock';

CREATE FUNCTION pgfed._tls(
  OUT node text, OUT host text, OUT port integer, OUT negotiation text, OUT protocol text,
  OUT cipher text, OUT chain_ok boolean, OUT host_match boolean, OUT client_certificate text,
  OUT stage text, OUT diagnosis text, OUT status text, OUT detail text, OUT checked_at timestamptz)
RETURNS SETOF record
LANGUAGE c STRICT PARALLEL SAFE ROWS 8
AS 'MODULE_PATHNAME', 'pgfed_tls';
COMMENT ON FUNCTION pgfed._tls() IS 'the rows of pgfed.tls';

CREATE VIEW pgfed.tls AS
  SELECT t.node, t.host, t.port, t.negotiation, t.protocol, t.cipher, t.chain_ok, t.host_match,
         t.client_certificate, t.stage, t.diagnosis, t.status, t.detail, t.checked_at
    FROM pgfed._tls() AS t;
COMMENT ON VIEW pgfed.tls IS 'what this server finds when it dials each endpoint afresh, one row an endpoint';
COMMENT ON COLUMN pgfed.tls.node IS 'whose endpoint it is';
COMMENT ON COLUMN pgfed.tls.host IS 'its host in pgfed.nodes';
COMMENT ON COLUMN pgfed.tls.port IS 'its port in pgfed.nodes';
COMMENT ON COLUMN pgfed.tls.negotiation IS 'postgres, or direct: TLS without asking for it first';
COMMENT ON COLUMN pgfed.tls.protocol IS 'TLS version; NULL: no handshake';
COMMENT ON COLUMN pgfed.tls.cipher IS 'cipher suite; NULL: no handshake';
COMMENT ON COLUMN pgfed.tls.chain_ok IS 'whether the certificate leads to a CA that is trusted here; NULL: not known';
COMMENT ON COLUMN pgfed.tls.host_match IS 'whether the certificate names the host; NULL: not known';
COMMENT ON COLUMN pgfed.tls.client_certificate IS
  'what became of this server''s own: not_requested, none, sent, rejected or required; NULL: not known';
COMMENT ON COLUMN pgfed.tls.stage IS
  'the first step that failed: resolve, connect, negotiate, handshake, chain, name or client; done: none; NULL: not looked at yet';
COMMENT ON COLUMN pgfed.tls.diagnosis IS 'what is wrong, one word of a documented list; ok: nothing';
COMMENT ON COLUMN pgfed.tls.status IS 'ok, warning, critical or unknown';
COMMENT ON COLUMN pgfed.tls.detail IS 'what exactly; what to do about it is in pgfed.checks';
COMMENT ON COLUMN pgfed.tls.checked_at IS 'when it was dialled; NULL: not yet';

CREATE FUNCTION pgfed._certificates(
  OUT node text, OUT source text, OUT depth integer, OUT subject text, OUT issuer text,
  OUT dns_names text[], OUT ip_addresses text[], OUT serial text, OUT sha256 text,
  OUT not_before timestamptz, OUT not_after timestamptz, OUT expires_in interval, OUT key text,
  OUT anchor text, OUT path text, OUT status text, OUT detail text)
RETURNS SETOF record
LANGUAGE c STRICT PARALLEL SAFE ROWS 32
AS 'MODULE_PATHNAME', 'pgfed_certificates';
COMMENT ON FUNCTION pgfed._certificates() IS 'the rows of pgfed.certificates';

CREATE VIEW pgfed.certificates AS
  SELECT c.node, c.source, c.depth, c.subject, c.issuer, c.dns_names, c.ip_addresses, c.serial,
         c.sha256, c.not_before, c.not_after, c.expires_in, c.key, c.anchor, c.path, c.status,
         c.detail
    FROM pgfed._certificates() AS c;
COMMENT ON VIEW pgfed.certificates IS 'every certificate of every node: served, as seen from here, or on its disk, as it says';
COMMENT ON COLUMN pgfed.certificates.node IS 'whose certificate it is';
COMMENT ON COLUMN pgfed.certificates.source IS 'served, ssl_cert_file, ssl_ca_file, sslrootcert or sslcert';
COMMENT ON COLUMN pgfed.certificates.depth IS 'place in the chain or in the file; 0: the first';
COMMENT ON COLUMN pgfed.certificates.subject IS 'its subject, as RFC 2253 writes it';
COMMENT ON COLUMN pgfed.certificates.issuer IS 'the subject of what signed it';
COMMENT ON COLUMN pgfed.certificates.dns_names IS 'the DNS names in its subjectAltName';
COMMENT ON COLUMN pgfed.certificates.ip_addresses IS 'the addresses in its subjectAltName';
COMMENT ON COLUMN pgfed.certificates.serial IS 'its serial number, hexadecimal';
COMMENT ON COLUMN pgfed.certificates.sha256 IS 'its fingerprint, hexadecimal, as openssl x509 -fingerprint -sha256 has it';
COMMENT ON COLUMN pgfed.certificates.not_before IS 'when it begins to be valid';
COMMENT ON COLUMN pgfed.certificates.not_after IS 'when it ends to be valid';
COMMENT ON COLUMN pgfed.certificates.expires_in IS 'time until then; negative: it is past';
COMMENT ON COLUMN pgfed.certificates.key IS 'kind and size of its key';
COMMENT ON COLUMN pgfed.certificates.anchor IS 'fingerprint of the trust anchor that its chain ends in; NULL: none or not known';
COMMENT ON COLUMN pgfed.certificates.path IS 'the file on that node''s disk; NULL: served';
COMMENT ON COLUMN pgfed.certificates.status IS 'ok, warning, critical or unknown';
COMMENT ON COLUMN pgfed.certificates.detail IS 'what is wrong; NULL: nothing';

CREATE FUNCTION pgfed._checks(
  OUT observer text, OUT node text, OUT name text, OUT status text, OUT since timestamptz,
  OUT detail text, OUT hint text)
RETURNS SETOF record
LANGUAGE c STRICT PARALLEL SAFE ROWS 32
AS 'MODULE_PATHNAME', 'pgfed_checks';
COMMENT ON FUNCTION pgfed._checks() IS 'the rows of pgfed.checks';

CREATE VIEW pgfed.checks AS
  SELECT c.observer, c.node, c.name, c.status, c.since, c.detail, c.hint
    FROM pgfed._checks() AS c;
COMMENT ON VIEW pgfed.checks IS 'what this server checks, one row a check; each hint says what to type';
COMMENT ON COLUMN pgfed.checks.observer IS 'who says it: this server';
COMMENT ON COLUMN pgfed.checks.node IS 'whom it is about; NULL: no single node';
COMMENT ON COLUMN pgfed.checks.name IS 'the check''s stable name';
COMMENT ON COLUMN pgfed.checks.status IS 'ok, warning, critical or unknown';
COMMENT ON COLUMN pgfed.checks.since IS 'since when it is so';
COMMENT ON COLUMN pgfed.checks.detail IS 'what is wrong; NULL: nothing';
COMMENT ON COLUMN pgfed.checks.hint IS 'what to do about it';

CREATE FUNCTION pgfed._events(
  OUT id bigint, OUT at timestamptz, OUT observer text, OUT node text, OUT severity text,
  OUT event text, OUT detail text, OUT actor text)
RETURNS SETOF record
LANGUAGE c STRICT PARALLEL SAFE ROWS 1000
AS 'MODULE_PATHNAME', 'pgfed_events';
COMMENT ON FUNCTION pgfed._events() IS 'the rows of pgfed.events';

CREATE VIEW pgfed.events AS
  SELECT e.id, e.at, e.observer, e.node, e.severity, e.event, e.detail, e.actor
    FROM pgfed._events() AS e;
COMMENT ON VIEW pgfed.events IS 'the last thousand events on this server, newest last';
COMMENT ON COLUMN pgfed.events.id IS 'counts up, also across a clean restart';
COMMENT ON COLUMN pgfed.events.at IS 'when this server noticed it';
COMMENT ON COLUMN pgfed.events.observer IS 'who says it: this server';
COMMENT ON COLUMN pgfed.events.node IS 'whom it is about; NULL: no single node';
COMMENT ON COLUMN pgfed.events.severity IS 'info, warning or critical';
COMMENT ON COLUMN pgfed.events.event IS 'the event''s stable name';
COMMENT ON COLUMN pgfed.events.detail IS 'what happened';
COMMENT ON COLUMN pgfed.events.actor IS 'the role that did it, or pgfed for its workers';

-- ---- privileges ----------------------------------------------------------------------------------

-- PUBLIC may do nothing here. Peers get what they need by pgfed.allow_peer().
REVOKE ALL ON SCHEMA pgfed FROM PUBLIC;
REVOKE ALL ON ALL TABLES IN SCHEMA pgfed FROM PUBLIC;
REVOKE ALL ON ALL FUNCTIONS IN SCHEMA pgfed FROM PUBLIC;

GRANT USAGE ON SCHEMA pgfed TO pg_monitor;
GRANT SELECT ON ALL TABLES IN SCHEMA pgfed TO pg_monitor;
-- A view calls its function as whoever reads the view.
GRANT EXECUTE ON FUNCTION
  pgfed._federation(), pgfed._peers(), pgfed._links(), pgfed._tls(), pgfed._certificates(),
  pgfed._checks(), pgfed._events(), pgfed.connection_string(text), pgfed.standby_settings(text),
  pgfed.certificate_names()
TO pg_monitor;
