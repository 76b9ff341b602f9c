-- Every setting of pgfed, and what it refuses. Secrets are not repeated.
SELECT name, unit, boot_val, min_val, max_val, context FROM pg_settings
 WHERE name LIKE 'pgfed.%' ORDER BY name COLLATE "C";

ALTER SYSTEM SET pgfed.node_name = 'Leo';
\echo :SQLSTATE
ALTER SYSTEM SET pgfed.federation_name = E'a\nb';
\echo :SQLSTATE
ALTER SYSTEM SET pgfed.conninfo = 'user=peer password=secret';
\echo :SQLSTATE
ALTER SYSTEM SET pgfed.conninfo = 'user=peer sslpassword=secret';
\echo :SQLSTATE
ALTER SYSTEM SET pgfed.conninfo = 'postgresql://peer:secret@127.0.0.1/db';
\echo :SQLSTATE
ALTER SYSTEM SET pgfed.conninfo = 'user=peer secret';
\echo :SQLSTATE
ALTER SYSTEM SET pgfed.conninfo = 'user=peer host=127.0.0.1';
\echo :SQLSTATE
ALTER SYSTEM SET pgfed.conninfo = 'service=main';
\echo :SQLSTATE
ALTER SYSTEM SET pgfed.mode = 'sleepy';
\echo :SQLSTATE
SET pgfed.no_such_setting = 1;
\echo :SQLSTATE
-- Versions of Postgres word these differently.
\set VERBOSITY sqlstate
ALTER SYSTEM SET pgfed.max_nodes = 1;
ALTER SYSTEM SET pgfed.peer_interval = '1us';
ALTER SYSTEM SET pgfed.peer_timeout = '2h';
ALTER SYSTEM SET pgfed.tls_interval = '900ms';
ALTER SYSTEM SET pgfed.tls_interval = '25h';
ALTER SYSTEM SET pgfed.tls_interval = '10';
ALTER SYSTEM SET pgfed.certificate_warning = '-1d';
ALTER SYSTEM SET pgfed.certificate_warning = '3651d';
ALTER SYSTEM SET pgfed.certificate_critical = 'soon';
ALTER SYSTEM SET pgfed.tls_reload = 'perhaps';
SET pgfed.tls_reload = off;
SHOW pgfed.tls_interval;
SHOW pgfed.certificate_warning;
SHOW pgfed.certificate_critical;

-- Readable by those who monitor, and by them only.
CREATE ROLE regress_pgfed_anybody;
SET ROLE regress_pgfed_anybody;
SHOW pgfed.conninfo;
RESET ROLE;
DROP ROLE regress_pgfed_anybody;
