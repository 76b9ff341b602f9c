-- What is said of endpoints and certificates by a server without TLS whose peers do not live.
CREATE EXTENSION pgfed;
CREATE FUNCTION pg_temp.wait_for(condition text) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
  deadline timestamptz := clock_timestamp() + interval '20 s';
  met boolean;
BEGIN
  LOOP
    BEGIN
      EXECUTE 'SELECT ' || condition INTO met;
    EXCEPTION WHEN object_not_in_prerequisite_state THEN met := false;
    END;
    IF met THEN RETURN 'yes'; END IF;
    IF clock_timestamp() > deadline THEN RETURN 'no: ' || condition; END IF;
    PERFORM pg_sleep(0.02);
  END LOOP;
END $$;

-- What a certificate for all of them must carry: each name once, whatever its case; no zone.
SELECT pg_temp.wait_for($$(SELECT count(*) = 0 FROM pgfed.federation)$$);
SELECT * FROM pgfed.certificate_names();
\echo :SQLSTATE
SELECT pgfed.add_node('leo', '127.0.0.2', 1);
SELECT pgfed.add_node('ait', '127.0.0.3', 1, options => 'sslnegotiation=direct');
SELECT pgfed.add_node('pit', 'Pit.Example', 1, options => 'hostaddr=127.0.0.4');
SELECT pgfed.add_node('eva', 'pit.example', 2, options => 'hostaddr=127.0.0.4');
SELECT pgfed.add_node('kim', 'fe80::1%eth0', 1);
SELECT pgfed.add_node('bob', 'bob.example', 1, options => 'hostaddr=::1');
SELECT pg_temp.wait_for($$(SELECT count(*) = 7 FROM pgfed.certificate_names())$$);
SELECT * FROM pgfed.certificate_names();
SELECT name FROM pgfed.certificate_names() WHERE kind = 'DNS';

-- Each endpoint has a row as soon as it is known, and is dialled soon.
SELECT pg_temp.wait_for($$(SELECT count(*) = 6 FROM pgfed.tls)$$);
SELECT pg_temp.wait_for($$(SELECT diagnosis <> 'unknown' FROM pgfed.tls WHERE node = 'ait')$$);
SELECT node, host, port, negotiation, protocol, cipher, chain_ok, host_match, client_certificate, stage,
       diagnosis, status, checked_at <= now() + interval '1 s' AS checked
  FROM pgfed.tls WHERE node = 'ait';
SELECT count(*) FROM pgfed.tls WHERE status NOT IN ('ok', 'warning', 'critical', 'unknown');
SELECT node FROM pgfed.tls ORDER BY node;

-- Nobody serves a certificate, and this server's are not there.
SELECT node, certificate, expires_in FROM pgfed.federation;
SELECT node, source, path FROM pgfed.certificates;
SELECT pg_typeof(dns_names), pg_typeof(ip_addresses), pg_typeof(not_before), pg_typeof(not_after),
       pg_typeof(expires_in), pg_typeof(serial), pg_typeof(sha256), pg_typeof(anchor)
  FROM (SELECT) AS one LEFT JOIN pgfed.certificates ON false;

-- A peer that has what is known of this server's files is not told again.
SELECT '\x706766640001'::bytea
    || '\x000100000003'::bytea || 'eva'
    || '\x000200000004'::bytea || 'test'
    || '\x000300000010'::bytea || decode(repeat('5e', 16), 'hex')
    || '\x00040000000102'::bytea AS report \gset
CREATE FUNCTION pg_temp.digest(reply bytea) RETURNS bytea LANGUAGE sql AS $$
  SELECT substr(reply, position('\x001f00000008'::bytea IN reply) + 6, 8)
$$;
CREATE FUNCTION pg_temp.has_inventory(reply bytea) RETURNS boolean LANGUAGE sql AS $$
  SELECT position('\x00210000'::bytea IN reply) > 0
$$;
SELECT pg_temp.wait_for(
  format($$pg_temp.digest(pgfed.exchange(%L)) <> '\x0000000000000000'$$, :'report'));
SELECT reply AS all_told, pg_temp.has_inventory(reply) AS told
  FROM pgfed.exchange(:'report') AS reply \gset
\echo :told
SELECT pg_temp.has_inventory(pgfed.exchange(
         :'report'::bytea || '\x002000000008'::bytea || pg_temp.digest(:'all_told'))) AS known;
SELECT pg_temp.has_inventory(pgfed.exchange(
         :'report'::bytea || '\x002000000008ffffffffffffffff'::bytea)) AS other;

-- Dialling: a port at which nobody listens.
SELECT stage, ok, detail, elapsed >= '0' AND elapsed < '10 s' AS in_time FROM pgfed.probe('127.0.0.1', 1);
SELECT stage, ok, elapsed >= '0' AS in_time
  FROM pgfed.probe(host => '127.0.0.1', port => 1, options => 'sslnegotiation=direct sslsni=0');
SELECT stage, ok FROM pgfed.probe('probe.example', 1, 'hostaddr=127.0.0.1');
-- It goes where nothing may be written, and several times in a statement.
BEGIN READ ONLY;
SELECT count(*) FROM generate_series(1, 50) AS n, pgfed.probe('127.0.0.' || n, 1) AS p WHERE p.stage = 'diagnosis';
COMMIT;

-- What cannot be dialled.
SELECT pgfed.probe(NULL);
\echo :SQLSTATE
SELECT pgfed.probe('127.0.0.1', NULL);
\echo :SQLSTATE
SELECT pgfed.probe('127.0.0.1', 1, NULL);
\echo :SQLSTATE
SELECT pgfed.probe('');
\echo :SQLSTATE
SELECT pgfed.probe('127.0.0.1,127.0.0.2');
\echo :SQLSTATE
SELECT pgfed.probe('/var/run/postgresql');
\echo :SQLSTATE
SELECT pgfed.probe('eva:secret@127.0.0.1');
\echo :SQLSTATE
SELECT pgfed.probe('127.0.0.1', 0);
\echo :SQLSTATE
SELECT pgfed.probe('127.0.0.1', 65536);
\echo :SQLSTATE
SELECT pgfed.probe('127.0.0.1', 1, 'password=secret');
\echo :SQLSTATE
SELECT pgfed.probe('127.0.0.1', 1, 'sslrootcert=/etc/passwd');
\echo :SQLSTATE
SELECT pgfed.probe('127.0.0.1', 1, 'sslnegotiation=never');
\echo :SQLSTATE
SELECT pgfed.probe('127.0.0.1', 1, 'sslsni');
\echo :SQLSTATE
SELECT pgfed.probe('127.0.0.1', 1, 'postgresql://eva:secret@127.0.0.1/');
\echo :SQLSTATE
SELECT pgfed.probe('127.0.0.1', 1, 'keepalives=1' || repeat(' ', 600));
\echo :SQLSTATE

DROP EXTENSION pgfed;
